"""How far a consumer is behind, beside a count of what its cursor has yet to hand out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.consumer.lag import Lag
from bus.engine.delivery import filtering
from bus.engine.reading.log_cursor import LogCursor
from bus.subject import Filter
from tests.engine.support import ManualLoop, batch, open_namespace, store

steps = st.lists(st.sampled_from(["store", "store", "take", "take", "fetch", "look", "drop"]), max_size=60)


@given(steps, st.data())
def test_once_all_is_looked_at_it_is_the_number_of_unread_events(steps: list[str], data: st.DataObject) -> None:
    with ManualLoop() as loop:
        namespace, wanted = open_namespace(loop, segment_bytes=2048), Filter.parse(["app.a"])
        taken: dict[int, bool] = {}
        cursor = LogCursor(namespace, wanted, 1, missed=lambda gap: None)
        lag = Lag(namespace, wanted, cursor)
        for step in steps:
            match step:
                case "store":
                    subjects = data.draw(st.lists(st.sampled_from(["app.a", "app.b"]), min_size=1, max_size=20))
                    taken |= {index: subject == "app.a" for index, subject in enumerate(subjects, namespace.next)}
                    store(namespace, batch(namespace.next, subjects))
                case "take":
                    cursor.take()
                case "fetch" if cursor.used_up:
                    cursor.fetch()
                case "look":
                    lag.look()
                case "drop":
                    namespace.store.drop_before(cursor.cursor)
        while not lag.is_exact:
            lag.look()
        assert lag.events == sum(
            wanted for index, wanted in taken.items() if index >= max(cursor.cursor, namespace.first)
        )


def test_one_that_keeps_up_has_nothing_to_count(loop: ManualLoop) -> None:
    namespace = open_namespace(loop)
    cursor = LogCursor(namespace, Filter.parse(["app.a"]), 1, missed=lambda gap: None)
    lag = Lag(namespace, Filter.parse(["app.a"]), cursor)
    for _ in range(10):
        store(namespace, batch(namespace.next, ["app.a"]))
        while cursor.take() or cursor.fetch():
            pass
        assert (lag.is_exact, lag.events) == (True, 0)


def test_a_batch_of_many_subjects_is_looked_at_piece_by_piece(
    loop: ManualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filtering, "WORK", 100)
    namespace, wanted = open_namespace(loop), Filter.parse(["app.*.y3"])
    store(namespace, batch(1, [f"app.x{index}.y{index % 7}" for index in range(1, 501)]))
    lag, looks = Lag(namespace, wanted, LogCursor(namespace, wanted, 1, missed=lambda gap: None)), 0
    while not lag.is_exact:
        lag.look()
        looks += 1
    assert lag.events == len([index for index in range(1, 501) if index % 7 == 3])
    assert looks > 3
