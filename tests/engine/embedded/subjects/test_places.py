"""What is looked for in places beside what is looked for everywhere: the last events, and pages of them."""

from __future__ import annotations

import sqlite3
from asyncio import Future
from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.base import Subscribe
from bus.engine.embedded.subjects.file import SUBJECTS_FILE
from bus.engine.embedded.subjects.store import SubjectStore
from bus.engine.embedded.subjects.table import SubjectTable
from bus.engine.reading.matching_events import settle_start
from bus.engine.reading.newest_first import newest_first
from bus.engine.reading.places import EVERYWHERE, Place, Places
from bus.engine.start import StartKind, StartPoint
from bus.errors import StorageError
from bus.frame import id_of
from bus.storage import Log
from bus.subject import Filter
from bus.units import NEVER
from tests.engine.support import ManualLoop, batch, open_namespace, store

T = TypeVar("T")

NOW = 100
names = st.sampled_from(["app.a", "app.b", "app.b.c", "app.d.c", "app.é"])
events = st.lists(st.tuples(names, st.sampled_from([NOW - 1, NOW + 1, NEVER])), min_size=1, max_size=6)
patterns = st.sampled_from(["app.>", "app.*", "app.a", "app.b.>", "app.*.c", "app.é", "app.none", "app.a,app.d.c"])


def done(pieces: Generator[Future[None] | None, None, T]) -> T:
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            found: T = end.value
            return found


@given(st.lists(st.one_of(events, st.just("write")), max_size=12), patterns, st.integers(1, 12))
def test_the_last_events_are_those_that_will_be_delivered(
    steps: list[list[tuple[str, int]] | str], pattern: str, count: int
) -> None:
    with ManualLoop() as loop:
        namespace, wanted, live = open_namespace(loop), Filter.parse([pattern]), list[int]()
        namespace.clock = lambda: NOW
        for step in steps:
            if isinstance(step, str):
                loop.run_until_complete(namespace.subjects.written())
                continue
            matching = enumerate(step, namespace.next)
            live += [index for index, (name, ends) in matching if ends > NOW and wanted.matches(name.encode())]
            store(namespace, batch(namespace.next, [name for name, _ in step], expires=[ends for _, ends in step]))
        places = loop.run_until_complete(namespace.subjects.places(wanted))
        asked = Subscribe(filter=wanted, start=StartPoint(StartKind.BACK, events=count))
        start = done(settle_start(namespace, asked, places)).start.index
        assert [index for index in live if index >= start] == live[-count:]
        page = done(newest_first(namespace, wanted, before=None, limit=count, places=places))
        whole = done(newest_first(namespace, wanted, before=None, limit=count))
        assert list(map(id_of, page.frames)) == list(map(id_of, whole.frames))
        assert len(page.frames) == len(live[-count:])
        namespace.subjects.close()


def test_a_place_ends_where_it_is_looked_from() -> None:
    places = Places([Place(5, 10), Place(20, 30)])
    asked = [40, 25, 20, 12, 6, 5]
    assert [places.before(index) for index in asked] == [(20, 30), (20, 25), (5, 10), (5, 10), (5, 6), (0, 0)]


def test_what_is_rare_is_looked_for_only_where_it_may_be(tmp_path: Path) -> None:
    with ManualLoop() as loop, Log.open(tmp_path) as log:
        table = SubjectTable("app", log, SubjectStore(tmp_path / SUBJECTS_FILE, sync=False), loop)
        table.open()
        for number in range(30):
            stored = batch(log.next, [f"app.n{number}.{each}" for each in range(1000)])
            log.append(stored)
            table.note([stored])
            loop.run_until_complete(table.written())
        found = loop.run_until_complete(table.places(Filter.parse(["app.n7.*,app.none"])))
        assert found is EVERYWHERE, "they are many"
        found = loop.run_until_complete(table.places(Filter.parse(["app.*.7,app.none"])))
        assert found.before(NEVER) == (log.next, NEVER)
        assert found.places[:-1] == [(0, log.next)], "each stretch has one, and those that touch are one place"
        found = loop.run_until_complete(table.places(Filter.parse(["app.n7.7"])))
        (place, _) = found.places
        assert place.first <= 7008 < place.next and place.next - place.first <= 8192
        table.close()
        with sqlite3.connect(tmp_path / SUBJECTS_FILE) as database:
            database.execute("UPDATE stretch SET subjects = zeroblob(length(subjects))")
        database.close()
        again = SubjectTable("app", log, SubjectStore(tmp_path / SUBJECTS_FILE, sync=False), loop)
        again.open()
        with pytest.raises(StorageError, match="a stretch is damaged"):
            loop.run_until_complete(again.places(Filter.parse(["app.n7.7"])))
        loop.run_until_complete(again.settled())
        assert len(loop.run_until_complete(again.places(Filter.parse(["app.n7.7"]))).places) == 2
        again.close()
