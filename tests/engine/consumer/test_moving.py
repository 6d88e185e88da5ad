"""Where a step from a place in the log leads, and how many events lie between two, beside a search through them."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator
from typing import TypeVar

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.reading.matching_events import MatchingEvents
from bus.subject import Filter
from tests.engine.support import ManualLoop, batch, fill, open_namespace, store

T = TypeVar("T")
WANTED = Filter.parse(["app.a"])


def done(pieces: Generator[Future[None] | None, None, T]) -> T:
    """What comes of *pieces* in the end."""
    try:
        while True:
            next(pieces)
    except StopIteration as end:
        result: T = end.value
        return result


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
        log = MatchingEvents(namespace, WANTED)
        found = [i for i, subject in enumerate(subjects, 1) if i >= first and subject == "app.a"]
        on, back = [i for i in found if i >= origin], [i for i in found if i < origin]
        if step > 0:
            expected = on[step - 1] + 1 if step <= len(on) else end
        elif step < 0:
            expected = back[step] if -step <= len(back) else first
        else:
            expected = origin
        assert done(log.step(origin, step)) == expected
        assert done(log.count(first, origin)) == len(back)
        assert done(log.count(origin, end)) == len(on)


def test_it_is_done_in_pieces_that_double_on_the_way_back(loop: ManualLoop) -> None:
    namespace = open_namespace(loop)
    fill(namespace, 6000)
    log = MatchingEvents(namespace, WANTED)
    for step, to in ((-5000, 1001), (-6000, 1), (-6001, 1), (-1, 6000)):
        assert done(log.step(6001, step)) == to
    assert done(log.step(1, 5999)) == 6000
    assert sum(1 for _ in log.count(1, 6001)) > 10
