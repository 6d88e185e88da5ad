"""Looks at all rows of a table: a piece at a time, and right whatever others do to it between two pieces."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.embedded.subjects import store as subjects_store
from bus.engine.embedded.subjects import stretches
from bus.engine.embedded.subjects.changes import Changes
from bus.engine.embedded.subjects.fair_lock import FairLock
from bus.engine.embedded.subjects.piece_reader import PieceReader
from bus.engine.embedded.subjects.queries import count_newest, matching_subjects, newest_of
from bus.engine.embedded.subjects.rows import Covered
from bus.engine.embedded.subjects.span import Span
from bus.engine.embedded.subjects.store import SubjectStore
from bus.storage.rewriting import Gone
from bus.subject import Filter
from bus.units import NEVER
from tests.engine.support import batch

names = st.sampled_from(["app.a", "app.b", "app.b.c", "app.d.c", "app.é", "app.z.c", "app._dead_.b"])
published = st.lists(names, min_size=1, max_size=5)
removed = st.sets(st.integers(1, 30), min_size=1)
patterns = st.sampled_from(["app.>", "app.*", "app.a", "app.b.>", "app.*.c", "app.x.*", "app.*.x", "app.a,app.d.*"])


class LetGo:
    """A lock that has others do *then* whenever it is let go by those who look."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._lock = FairLock()
        self._then = then
        self._theirs = False

    def __enter__(self) -> None:
        self._lock.__enter__()

    def __exit__(self, *failure: object) -> None:
        self._lock.__exit__(*failure)
        if not self._theirs:
            self._theirs = True
            self._then()
            self._theirs = False


class Table:
    """Rows in memory, and the events that are ``left`` of which they are. Others *meanwhile* change both."""

    def __init__(self, meanwhile: Iterable[list[str] | set[int]] = ()) -> None:
        self.left: dict[int, str] = {}
        self.next = 1
        self.store = SubjectStore(None, sync=False)
        self.store.open()
        self.meanwhile = iter(meanwhile)

    def publish(self, subjects: list[str]) -> None:
        changes = Changes()
        changes.count([batch(self.next, subjects)])
        self.left.update(enumerate(subjects, self.next))
        self.next += len(subjects)
        self.store.apply(changes, (), self._covered(), lambda _: {})

    def remove(self, doomed: set[int]) -> None:
        gone = {index: self.left.pop(index).encode() for index in doomed & self.left.keys()}
        events, newest = Counter(gone.values()), {subject: index for index, subject in sorted(gone.items())}
        fewer = {subject: Gone(events[subject], newest[subject]) for subject in events}
        self.store.apply(Changes(), (fewer,), self._covered(), lambda _: self._newest())

    def _newest(self) -> dict[bytes, tuple[int, int]]:
        return {subject.encode(): (index, 0) for index, subject in sorted(self.left.items())}

    def _covered(self) -> Covered:
        return Covered(self.next, b"", self.store.generation() + 1)

    def change(self, step: list[str] | set[int]) -> None:
        if isinstance(step, set):
            self.remove(step)
        else:
            self.publish(step)

    @contextmanager
    def letting_others(self) -> Iterator[None]:
        def let() -> None:
            if step := next(self.meanwhile, None):
                self.change(step)

        mine, self.store.lock = self.store.lock, LetGo(let)
        yield
        self.store.lock = mine


@contextmanager
def pieces(rows: int, *, near: int = 0) -> Iterator[None]:
    with (
        patch.multiple(stretches, PIECE_STRETCHES=1, MOST_EVENTS=4),
        patch.multiple(subjects_store, ROWS_TOGETHER=rows, NEAR_EVENTS=near),
    ):
        yield


@given(
    before=st.lists(st.one_of(published, removed), max_size=6),
    meanwhile=st.lists(st.one_of(published, removed, st.just(set[int]())), max_size=6),
    pattern=patterns,
    rows=st.integers(1, 3),
    few=st.sampled_from([0, 1, 4096]),
    near=st.sampled_from([0, 5]),
)
def test_no_event_is_missed_that_is_left(
    before: list[list[str] | set[int]],
    meanwhile: list[list[str] | set[int]],
    pattern: str,
    rows: int,
    few: int,
    near: int,
) -> None:
    table, wanted = Table(meanwhile * 4), Filter.parse([pattern])
    with pieces(rows, near=near):
        for step in before:
            table.change(step)
        with table.letting_others():
            found = table.store.places(wanted, table.next, events=2, few=few)
    table.store.close()
    for index, subject in table.left.items():
        if wanted.matches(subject.encode()):
            assert any(first <= index < following for first, following in found.places)
            assert index >= found.known or subject.encode() in found.subjects


@given(
    steps=st.lists(st.one_of(published, removed), max_size=6),
    pattern=patterns,
    rows=st.sampled_from([1, 2, 3, 4, None]),
    end=st.integers(0, 30),
    most=st.integers(1, 4),
)
def test_pieces_come_to_what_the_whole_is(
    steps: list[list[str] | set[int]], pattern: str, rows: int | None, end: int, most: int
) -> None:
    table, wanted = Table(), Filter.parse([pattern])
    for step in steps:
        table.change(step)
    newest = {subject: index for index, subject in sorted(table.left.items())}
    taken = {subject.encode(): index for subject, index in newest.items() if wanted.matches(subject.encode())}
    reader = PieceReader(table.store.writer, table.store.lock, rows=rows)
    with pieces(rows or 1):
        assert matching_subjects(reader, wanted, most=len(taken)) == taken.keys()
        assert not taken or matching_subjects(reader, wanted, most=len(taken) - 1) is None
        assert table.store.count_outside(Span(b"app._dead_.", b"app._dead_/")) == len(newest.keys() - {"app._dead_.b"})
        if "app._dead_.b" not in newest:  # it may be among those of wildcards
            assert newest_of(reader, wanted) == max(taken.values(), default=0)
            for start in range(-2, end + 2):
                between = [index for index in taken.values() if start <= index < end]
                assert count_newest(reader, wanted, start, end, most=most) == min(len(between), most)
    table.store.close()


@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("pattern", ["app.>", "app.*.none"])
def test_others_have_a_turn_after_each_piece(pattern: str, few: int) -> None:
    table, turns = Table(), list[int]()
    table.publish([f"app.n.{number}" for number in range(1000)])

    def find() -> None:
        with table.store.lock:
            turns.append(table.store.find(b"app.n.7")[1].last)

    with pieces(10), ThreadPoolExecutor(1) as others:
        table.store.lock = LetGo(lambda: others.submit(find).result(60))
        table.store.places(Filter.parse([pattern]), NEVER, events=1, few=few)
        looked = len(turns)
        table.store.count_outside(Span(b"app.x", b"app.y"))
    table.store.close()
    assert looked >= 1000 // 10
    assert len(turns) - looked >= 1000 // 10
    assert set(turns) == {8}
