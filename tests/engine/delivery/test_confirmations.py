"""Confirmations: none is missed between publishing and hearing where the event is."""

from __future__ import annotations

from collections.abc import Sequence

from bus.engine.delivery.confirmations import Confirmations


def test_who_acknowledges_before_the_index_is_known_counts() -> None:
    confirmations, told = Confirmations(), list[Sequence[str]]()
    awaited = confirmations.expect(told.append)
    confirmations.add([7], "early")
    confirmations.add([8], "another's")
    assert not told
    awaited.stored(7)
    confirmations.add([7], "late")
    confirmations.add([7], "early")
    assert told == [["early"], ["early", "late"]]


def test_nothing_is_told_once_nobody_waits() -> None:
    confirmations, told = Confirmations(), list[Sequence[str]]()
    stopped, stopped_early = confirmations.expect(told.append), confirmations.expect(told.append)
    stopped.stored(1)
    stopped.stop()
    stopped_early.stop()
    stopped_early.stored(1)
    confirmations.add([1], "c")
    assert not told
