"""Pages from the end of a log against a list of what it holds, and what one page may cost."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Generator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus.engine.administration import EventPage
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.namespace import READ_BYTES
from bus.engine.reading import newest_first as module
from bus.engine.reading.newest_first import LOOK, PAGE_BYTES, newest_first
from bus.frame import read_frame
from bus.subject import Filter
from tests.engine.support import ManualLoop, batch, fill, finish, open_namespace, store

NAMES = ["app.a", "app.b", "app.c"]
batches = st.lists(
    st.tuples(
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=40),
        st.sampled_from([1, 1, 1, 100, 30_000]),  # bytes of a payload
        st.booleans(),  # whether each second event has expired
    ),
    max_size=30,
)


def get(
    namespace: LogNamespace, pattern: str, *, before: int | None = None, limit: int = 1000, look: int = LOOK
) -> tuple[EventPage, int]:
    """A page, and how many turns of the loop it took."""
    page, stops = finish(newest_first(namespace, Filter.parse([pattern]), before=before, limit=limit, look=look))
    return page, stops + 1


def indexes(page: EventPage) -> list[int]:
    return [read_frame(frame).index for frame in page.frames]


@given(batches, st.sampled_from([*NAMES, "app.>"]), st.integers(1, 60), st.integers(1, 2_000_000), st.data())
@settings(max_examples=60)
def test_pages_together_have_what_the_log_has(
    parts: list[tuple[Sequence[str], int, bool]], pattern: str, limit: int, look: int, data: st.DataObject
) -> None:
    with ManualLoop() as loop:
        namespace = open_namespace(loop, segment_bytes=100_000)
        living: list[int] = []
        for subjects, size, expired in parts:
            first = namespace.next
            gone = [expired and place % 2 == 1 for place in range(len(subjects))]
            expires = [1 if over else 2**62 for over in gone] if expired else ()
            store(namespace, batch(first, subjects, payload=b'"%b"' % (b"x" * size), expires=expires))
            living += [
                index
                for index, (subject, over) in enumerate(zip(subjects, gone, strict=True), first)
                if not over and pattern in (subject, "app.>")
            ]
        namespace.forget_read()
        start = before = data.draw(st.none() | st.integers(1, namespace.next + 3), label="before")
        found: list[int] = []
        while True:
            page, _ = get(namespace, pattern, before=before, limit=limit, look=look)
            assert len(page.frames) <= limit
            found += indexes(page)
            if page.next is None:
                break
            assert before is None or page.next < before, "each page brings the reader on"
            before = page.next
        assert found == [index for index in reversed(living) if start is None or index < start]


def test_a_page_of_what_is_at_the_end_reads_no_more_than_that(loop: ManualLoop) -> None:
    namespace = open_namespace(loop)
    fill(namespace, 20_000)
    page, turns = get(namespace, "app.a", limit=50)
    assert indexes(page) == [*range(20_000, 19_950, -1)] and page.next == 19_951
    assert turns < 15


@pytest.mark.parametrize("payload", [b"1", b'"%b"' % (b"x" * 50_000)])
def test_a_page_with_nothing_on_it_ends_when_it_has_cost_enough(loop: ManualLoop, payload: bytes) -> None:
    """Many small batches or few large ones: the turns it takes are bounded, and it says where to go on."""
    namespace = open_namespace(loop, segment_bytes=64 << 20)
    fill(namespace, 1, subject="app.rare")
    fill(namespace, 1200, payload=payload)
    namespace.forget_read()
    page, turns = get(namespace, "app.rare", look=8 * READ_BYTES)
    assert not page.frames and page.next is not None and page.next > 1
    assert turns < 40
    while page.next is not None and not page.frames:
        page, turns = get(namespace, "app.rare", before=page.next, look=8 * READ_BYTES)
        assert turns < 40
    assert indexes(page) == [1]


@pytest.mark.pure_only("replaces a method of a window")
def test_a_window_that_is_larger_than_it_seemed_is_begun_anew(
    loop: ManualLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large events behind many small ones are read a few at a time."""
    namespace = open_namespace(loop, segment_bytes=64 << 20)
    fill(namespace, 400, payload=b'"%b"' % (b"x" * 100_000))
    store(namespace, batch(namespace.next, ["app.a"] * 300))
    namespace.forget_read()
    seen: list[module._Window] = []
    original = module._Window.look

    def look(window: module._Window, limit: int, room: int) -> Generator[Future[None] | None, None, None]:
        seen.append(window)
        return original(window, limit, room)

    monkeypatch.setattr(module._Window, "look", look)
    page, _ = get(namespace, "app.a")
    assert indexes(page)[:300] == [*range(700, 400, -1)]
    assert sum(map(len, page.frames)) <= PAGE_BYTES + 100_200
    assert any(window.abandoned for window in seen)
    assert all(window.cost < 3 * module.TOO_MUCH for window in seen)


def test_what_retention_deletes_meanwhile_is_passed_by(loop: ManualLoop) -> None:
    namespace = open_namespace(loop, segment_bytes=4096)
    fill(namespace, 200)
    work = newest_first(namespace, Filter.parse(["app.a"]), before=None, limit=1000)
    next(work)
    namespace.store.drop_before(namespace.store.segments[-2].first)
    namespace.forget_read()
    with pytest.raises(StopIteration) as done:
        while True:
            next(work)
    page = done.value.value
    assert page.next is None and indexes(page) == [*range(200, namespace.first - 1, -1)]
