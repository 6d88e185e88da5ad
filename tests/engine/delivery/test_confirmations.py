"""Who has acknowledged: each consumer once, and only while somebody waits."""

from __future__ import annotations

from collections.abc import Sequence

from bus.engine.delivery.confirmations import Confirmations


def test_each_consumer_counts_once_and_all_so_far_are_told() -> None:
    told: list[Sequence[str]] = []
    confirmations = Confirmations()
    confirmations.expect(7, told.append)
    for index, consumer in [(7, "a"), (7, "a"), (8, "b"), (7, "b")]:
        confirmations.add(index, consumer)
    assert told == [["a"], ["a", "b"]]


def test_who_stopped_waiting_is_told_no_more() -> None:
    told: list[Sequence[str]] = []
    confirmations = Confirmations()
    stop = confirmations.expect(7, told.append)
    stop()
    stop()
    confirmations.add(7, "a")
    assert not told
