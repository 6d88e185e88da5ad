"""What is looked for in places beside what is looked for everywhere: the last events, and pages of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.base import Subscribe
from bus.engine.embedded.subjects import store as subjects_store
from bus.engine.embedded.subjects.file import SUBJECTS_FILE
from bus.engine.embedded.subjects.piece_reader import ROWS_TOGETHER
from bus.engine.embedded.subjects.store import SubjectStore
from bus.engine.embedded.subjects.table import FEW_SUBJECTS, SubjectTable
from bus.engine.reading.matching_events import settle_start
from bus.engine.reading.newest_first import newest_first
from bus.engine.reading.places import EVERYWHERE, Place, Places
from bus.engine.start import StartKind, StartPoint
from bus.errors import StorageError
from bus.frame import id_of
from bus.storage import Log
from bus.subject import Filter
from bus.units import NEVER
from tests.engine.support import ManualLoop, batch, finish, open_namespace, store

NOW = 100
names = st.sampled_from(["app.a", "app.b", "app.b.c", "app.d.c", "app.é"])
events = st.lists(st.tuples(names, st.sampled_from([NOW - 1, NOW + 1, NEVER])), min_size=1, max_size=6)
patterns = st.sampled_from(["app.>", "app.*", "app.a", "app.b.>", "app.*.c", "app.é", "app.none", "app.a,app.d.c"])


@given(
    steps=st.lists(st.one_of(events, st.just("write")), max_size=12),
    pattern=patterns,
    count=st.integers(1, 12),
    few=st.sampled_from([0, 1, FEW_SUBJECTS]),
    near=st.sampled_from([0, 5]),
    rows=st.sampled_from([1, ROWS_TOGETHER]),
    back=st.integers(0, 9),
)
def test_the_last_events_are_those_that_will_be_delivered(
    steps: list[list[tuple[str, int]] | str], pattern: str, count: int, few: int, near: int, rows: int, back: int
) -> None:
    with ManualLoop() as loop, pytest.MonkeyPatch.context() as patch:
        patch.setattr(subjects_store, "NEAR_EVENTS", near)
        patch.setattr(subjects_store, "ROWS_TOGETHER", rows)
        namespace, wanted, live = open_namespace(loop), Filter.parse([pattern]), list[int]()
        namespace.clock = lambda: NOW
        for step in steps:
            if isinstance(step, str):
                loop.run_until_complete(namespace.subjects.written())
                continue
            matching = enumerate(step, namespace.next)
            live += [index for index, (name, ends) in matching if ends > NOW and wanted.matches(name.encode())]
            store(namespace, batch(namespace.next, [name for name, _ in step], expires=[ends for _, ends in step]))
        table = namespace.subjects
        places = loop.run_until_complete(table.places(wanted, namespace.next, events=count, few=few))
        asked = Subscribe(filter=wanted, start=StartPoint(StartKind.BACK, events=count))
        settled, _ = finish(settle_start(namespace, asked, places))
        start = settled.start.index
        assert [index for index in live if index >= start] == live[-count:]
        before = max(namespace.next - back, 1)
        places = loop.run_until_complete(table.places(wanted, before, events=count, few=few))
        page, _ = finish(newest_first(namespace, wanted, before=before, limit=count, places=places))
        whole, _ = finish(newest_first(namespace, wanted, before=before, limit=count))
        assert list(map(id_of, page.frames)) == list(map(id_of, whole.frames))
        assert len(page.frames) == len([index for index in live if index < before][-count:])
        table.close()


def test_a_place_ends_where_it_is_looked_from() -> None:
    places = Places([Place(5, 10), Place(20, 30)])
    asked = [40, 25, 20, 12, 6, 5]
    assert [places.before(index) for index in asked] == [(20, 30), (20, 25), (5, 10), (5, 10), (5, 6), (0, 0)]


class Filled:
    """A table of 30,000 subjects *app.nX.Y*, each with one event, a thousand a batch."""

    def __init__(self, directory: Path, log: Log, loop: ManualLoop) -> None:
        self.path = directory / SUBJECTS_FILE
        self.log = log
        self._loop = loop
        self.table = self._open()
        for number in range(30):
            stored = batch(log.next, [f"app.n{number}.{each}" for each in range(1000)])
            log.append(stored)
            self.table.note([stored])
            loop.run_until_complete(self.table.written())

    def reopen(self) -> None:
        self.table = self._open()

    def settle(self) -> None:
        self._loop.run_until_complete(self.table.settled())

    def _open(self) -> SubjectTable:
        table = SubjectTable("app", self.log, SubjectStore(self.path, sync=False), self._loop)
        table.open()
        return table

    def places(self, *patterns: str, few: int = 256, events: int = 1, end: int | None = None) -> Sequence[Place]:
        wanted, end = Filter.parse(patterns), end or self.log.next
        found = self._loop.run_until_complete(self.table.places(wanted, end, events=events, few=few))
        return found.places


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Filled]:
    with ManualLoop() as loop, Log.open(tmp_path) as log:
        found = Filled(tmp_path, log, loop)
        yield found
        found.table.close()


@pytest.fixture
def nothing_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subjects_store, "NEAR_EVENTS", 0)


@pytest.mark.usefixtures("nothing_is_near")
def test_what_is_rare_is_looked_for_only_where_it_may_be(filled: Filled) -> None:
    unwritten = (filled.log.next, NEVER)
    found = filled.places("app.*.7,app.none")
    assert found == [(0, filled.log.next), unwritten], "each stretch has one, and those that touch are one place"
    (place, last) = filled.places("app.n7.7")
    assert place.first <= 7008 < place.next and place.next - place.first <= 8192
    assert last == unwritten
    (place, last) = filled.places("app.n7.*", few=1000)
    assert place.first <= 7001 and place.next > 8000 and place.next - place.first <= 16384
    assert filled.places("app.none.*") == [unwritten]


@pytest.mark.usefixtures("nothing_is_near")
def test_what_many_subjects_have_is_looked_for_from_the_newest_of_them_back(filled: Filled) -> None:
    unwritten = (filled.log.next, NEVER)
    assert filled.places("app.n7.*,app.none") == [(0, 8001), unwritten]
    assert filled.places("app.n7.*,app.n3.>") == [(0, 8001), unwritten]
    assert filled.places("app.>", few=29_999) == [(0, filled.log.next), unwritten]


def test_what_is_near_is_looked_for_in_the_log(filled: Filled) -> None:
    everywhere = EVERYWHERE.places
    assert filled.places("app.*.7", events=30) == everywhere
    assert filled.places("app.*.7", events=31) != everywhere, "there are no more"
    assert filled.places("app.n7.*", events=1000) == everywhere
    assert filled.places("app.n7.*", events=500, end=7501) == everywhere
    assert filled.places("app.n7.*", events=501, end=7501) != everywhere
    assert filled.places("app.n7.7") != everywhere, "one subject is found by its stretches"
    assert filled.places("app.>", events=1_000_000) == everywhere, "they are dense"
    assert filled.places("app.*") != everywhere, "these have two names more"


def test_a_damaged_stretch_is_noticed_and_made_anew(filled: Filled) -> None:
    filled.table.close()
    with sqlite3.connect(filled.path) as database:
        database.execute("UPDATE stretch SET subjects = zeroblob(length(subjects))")
    database.close()
    filled.reopen()
    with pytest.raises(StorageError, match="a stretch is damaged"):
        filled.places("app.n7.7")
    filled.settle()
    assert len(filled.places("app.n7.7")) == 2
