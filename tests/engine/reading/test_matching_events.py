"""Where a step from a place in the log leads, and how many events lie between two, beside a search through them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.delivery import filtering
from bus.engine.reading.matching_events import MatchingEvents
from bus.subject import Filter
from tests.engine.support import ManualLoop, batch, fill, finish, open_namespace, store

A = Filter.parse(["app.a"])


@given(
    st.lists(st.lists(st.sampled_from(["app.a", "app.b"]), min_size=1, max_size=30), max_size=20),
    st.integers(1, 400),
    st.integers(-50, 50),
    st.integers(1, 600),
)
def test_steps_and_counts_are_those_of_a_search(batches: list[list[str]], drop: int, step: int, at: int) -> None:
    with ManualLoop() as loop:
        namespace = open_namespace(loop, segment_bytes=2048)
        subjects: list[str] = []
        for names in batches:
            store(namespace, batch(namespace.next, names))
            subjects += names
        namespace.store.drop_before(min(drop, namespace.next))
        first, end = namespace.first, namespace.next
        origin = min(max(at, first), end)
        log = MatchingEvents(namespace, A)
        found = [i for i, subject in enumerate(subjects, 1) if i >= first and subject == "app.a"]
        on, back = [i for i in found if i >= origin], [i for i in found if i < origin]
        if step > 0:
            expected = on[step - 1] + 1 if step <= len(on) else end
        elif step < 0:
            expected = back[step] if -step <= len(back) else first
        else:
            expected = origin
        assert finish(log.step(origin, step))[0] == expected
        assert finish(log.count(first, origin))[0] == len(back)
        assert finish(log.count(origin, end))[0] == len(on)


def test_it_is_done_in_pieces_that_double_on_the_way_back(loop: ManualLoop) -> None:
    namespace = open_namespace(loop)
    fill(namespace, 6000)
    log = MatchingEvents(namespace, A)
    for step, to in ((-5000, 1001), (-6000, 1), (-6001, 1), (-1, 6000)):
        assert finish(log.step(6001, step))[0] == to
    assert finish(log.step(1, 5999))[0] == 6000
    assert finish(log.count(1, 6001))[1] > 10


# -- where a batch has too many subjects for a turn

EVENTS = 500
WANTED = [index for index in range(1, 2 * EVENTS + 1) if index % 7 in (3, 5)]


@pytest.fixture(params=[1, 100, filtering.WORK])
def events(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, loop: ManualLoop) -> MatchingEvents:
    """Those of two batches whose index, by sevens, leaves 3 or 5; a turn does so much work."""
    monkeypatch.setattr(filtering, "WORK", request.param)
    namespace = open_namespace(loop)
    for first in (1, EVENTS + 1):
        subjects = [f"app.x{index}.y{index % 7}" for index in range(first, first + EVENTS)]
        store(namespace, batch(first, subjects))
    return MatchingEvents(namespace, Filter.parse(["app.*.y3", "app.*.y5"]))


@pytest.mark.parametrize(("start", "end"), [(1, 1001), (4, 998), (250, 750), (500, 501), (501, 502), (900, 900)])
def test_they_are_counted_piece_by_piece(events: MatchingEvents, start: int, end: int) -> None:
    found, turns = finish(events.count(start, end))
    assert found == len([index for index in WANTED if start <= index < end])
    assert turns > 3 or filtering.WORK > 100 or end - start < 100


@pytest.mark.parametrize("back", [1, 2, 77, len(WANTED), len(WANTED) + 1])
def test_so_many_back_lies_the_oldest_of_them(events: MatchingEvents, back: int) -> None:
    found, _ = finish(events.step(events.namespace.next, -back))
    assert found == (WANTED[-back] if back <= len(WANTED) else 1)


@pytest.mark.parametrize("on", [1, 2, 77, len(WANTED), len(WANTED) + 1])
def test_so_many_on_lies_behind_the_last_of_them(events: MatchingEvents, on: int) -> None:
    found, _ = finish(events.step(1, on))
    assert found == (WANTED[on - 1] + 1 if on <= len(WANTED) else 2 * EVENTS + 1)
