"""A place in the log, beside a list of the events that are in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.base import Gap
from bus.engine.reading.log_cursor import LogCursor
from bus.subject import Filter
from bus.units import NEVER
from tests.engine.support import ManualLoop, batch, fill, open_namespace, store

logs = st.lists(st.lists(st.sampled_from(["app.a", "app.b"]), min_size=1, max_size=5), max_size=6)
steps = st.lists(st.sampled_from(["take", "take", "take", "put back", "fetch", "forget", "store"]), max_size=60)


@given(logs, logs, steps, st.sampled_from(["app.a", "app.>"]))
def test_each_event_is_handed_out_once_and_in_order(
    before: list[list[str]], later: list[list[str]], steps: list[str], pattern: str
) -> None:
    with ManualLoop() as loop:
        namespace, wanted, gaps = open_namespace(loop), Filter.parse([pattern]), list[Gap]()
        for subjects in before:
            store(namespace, batch(namespace.next, subjects))
        cursor = LogCursor(namespace, wanted, 1, missed=gaps.append)
        got: list[tuple[int, bytes]] = []
        for step in [*steps, *["store"] * len(later)]:
            match step:
                case "take" if found := cursor.take():
                    got.append(found)
                case "put back" if got and cursor.cursor == got[-1][0] + 1:
                    cursor.put_back(*got.pop())
                case "forget":
                    cursor.forget_fetched()
                case "fetch" if cursor.used_up:
                    cursor.fetch()
                case "store" if later:
                    store(namespace, batch(namespace.next, later.pop()))
            assert cursor.handed == len(got)
            assert cursor.cursor > (got[-1][0] if got else 0)
        while (found := cursor.take()) or cursor.fetch():
            got += [found] if found else []
        whole = namespace.store.read(1, 1 << 20, 1 << 10) if namespace.next > 1 else []
        events = [(index, found) for found in whole for index in range(found.first, found.next)]
        assert got == [(index, found.frame(index)) for index, found in events if wanted.matches(found.subject(index))]
        assert not gaps


def test_an_event_that_expires_before_its_turn_is_passed_by(loop: ManualLoop) -> None:
    namespace = open_namespace(loop)
    store(namespace, batch(1, ["app.a"] * 5, expires=[10, 20, 20, 30, NEVER]))
    cursor = LogCursor(namespace, Filter.parse(["app.a"]), 1, missed=print)
    assert cursor.fetch()
    taken = []
    for now in (5, 15, 25, 35):
        namespace.clock = lambda now=now: now  # type: ignore[misc]
        taken.append(cursor.take() or (0, b""))
        if now == 15:
            cursor.put_back(*taken.pop())
    assert [index for index, _ in taken] == [1, 4, 5]
    assert cursor.take() is None
    assert (cursor.handed, cursor.cursor, cursor.used_up) == (5, 6, True)


def test_what_the_log_has_let_go_of_is_told_once(loop: ManualLoop) -> None:
    namespace, gaps = open_namespace(loop, segment_bytes=2048), list[Gap]()
    fill(namespace, 40)
    cursor = LogCursor(namespace, Filter.parse(["app.a"]), 1, missed=gaps.append)
    assert cursor.fetch()
    assert [(cursor.take() or (0, b""))[0] for _ in range(3)] == [1, 2, 3]
    namespace.store.drop_before(30)
    first = namespace.first
    assert 4 < first <= 30
    cursor.forget_fetched()
    got = []
    while (found := cursor.take()) or cursor.fetch():
        got += [found[0]] if found else []
    assert gaps == [Gap("expired", 4, first - 1, first)]
    assert got == list(range(first, 41))
    assert cursor.skipped == 1
