"""The table of subjects against a list: events are published and removed, files are lost, the namespace is reopened."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Coroutine
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bus.engine.embedded.subjects.file import SUBJECTS_FILE
from bus.engine.embedded.subjects.store import SubjectStore
from bus.engine.embedded.subjects.table import PERIOD, SubjectTable
from bus.errors import OverloadedError, StoppingError
from bus.storage.batch import Batch
from bus.storage.log import Log
from bus.storage.segment import SegmentInfo
from tests.engine.support import ManualLoop, batch

T = TypeVar("T")

SUBJECTS = ["app.a", "app.b", "app.c.d", "app.é"]
DEAD = "app._dead_.b"
subjects = st.sampled_from([*SUBJECTS, DEAD])
places = st.integers(0, 200)


class TableAgainstList(RuleBasedStateMachine):
    """The list has the subject of each event that is left, by index."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.loop = asyncio.new_event_loop()
        self.left: dict[int, str] = {}
        self.open()

    def open(self) -> None:
        self.log = Log.open(self.directory, segment_bytes=2000)
        self.table = SubjectTable("app", self.log, SubjectStore(self.directory / SUBJECTS_FILE, sync=False), self.loop)
        self.table.open()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(work, 60))

    @rule(names=st.lists(subjects, min_size=1, max_size=8))
    def publish(self, names: list[str]) -> None:
        stored = batch(self.log.next, names)
        self.log.append(stored)
        self.left.update(enumerate(names, stored.first))
        self.table.note([stored])

    @rule()
    def write(self) -> None:
        self.run(self.table.written())

    @rule()
    def count(self) -> None:
        self.run(self.table.written())
        _ = self.table.number
        self.run(self.table.by_subject(b"", b"", 1))  # the thread does one thing after the other
        assert self.table.number == len(set(self.left.values()) - {DEAD})

    @rule(place=places)
    def retain(self, place: int) -> None:
        self.table.removing()
        opened = self.log.open_before(place)
        self.log.drop_before(place)
        self.table.dropped([segment for segment in opened if segment.next <= self.log.first])
        self.left = {index: name for index, name in self.left.items() if index >= self.log.first}

    @rule(name=subjects, before=places)
    def delete_subject(self, name: str, before: int) -> None:
        self.delete({index for index, found in self.left.items() if found == name and index < before})

    @precondition(lambda self: self.left)
    @rule(data=st.data())
    def delete_one(self, data: st.DataObject) -> None:
        self.delete({data.draw(st.sampled_from(sorted(self.left)))})

    def delete(self, doomed: set[int]) -> None:
        self.log.roll()
        for segment in [found for found in self.log.segments if not found.active]:
            self.rewrite([segment], doomed, fill=0)
        for index in doomed:
            del self.left[index]
        self.run(self.table.settled())

    def rewrite(self, segments: list[SegmentInfo], doomed: set[int], *, fill: int) -> None:
        def within(batch: Batch) -> set[int]:
            return doomed & set(range(batch.first, batch.next))

        rewritten = self.log.rewrite(segments, within, fill=fill, condense=fill > 0)
        if rewritten:
            self.table.removing()
            assert self.log.replace(rewritten)
            self.log.finish(rewritten)
            self.table.rewritten(rewritten)

    @rule()
    def merge(self) -> None:
        """Neighbours become one segment, without what was deleted."""
        segments = [found for found in self.log.segments if not found.active]
        if segments:
            self.rewrite(segments, set(), fill=10_000)

    @rule()
    def lose_count(self) -> None:
        self.table.removing()
        self.table.recount()
        self.run(self.table.written())

    @rule(harm=st.sampled_from(["none", "missing", "damaged", "old", "later", "another"]))
    def reopen(self, harm: str) -> None:
        """The file may be lost, or be of another time or log."""
        file = self.directory / SUBJECTS_FILE
        self.table.close()
        self.run(asyncio.sleep(0))
        self.log.close()
        kept = self.directory / "kept"
        if harm == "missing":
            file.unlink()
        elif harm == "damaged":
            file.write_bytes(b"no database" * 500)
        elif harm == "old" and kept.exists():
            shutil.copy(kept, file)
        elif harm == "later":
            shutil.copy(file, kept)
        elif harm == "another":
            for found in self.directory.glob("*.idx"):
                found.unlink()
        self.open()

    @rule()
    def crash(self) -> None:
        """Nothing more is written, and what is open is open no more."""
        self.table.stop()
        self.table.abandon()
        self.run(asyncio.sleep(0))
        self.log.close()
        self.open()

    @invariant()
    def knows_the_newest(self) -> None:
        if not self.table.is_current:
            self.run(self.table.settled())
        for name in SUBJECTS:
            assert self.table.last(name) == max((i for i, found in self.left.items() if found == name), default=0)

    @invariant()
    def counts(self) -> None:
        self.run(self.table.settled())
        for name in SUBJECTS:
            row = self.table.find(name.encode())
            assert (row.events if row else 0) == list(self.left.values()).count(name)

    @invariant()
    def counts_all(self) -> None:
        self.run(self.table.settled())
        assert self.table.events == len(self.left)

    def teardown(self) -> None:
        self.table.close()
        self.run(asyncio.sleep(0))
        self.log.close()
        self.loop.close()
        shutil.rmtree(self.directory)


TableAgainstList.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestTable = TableAgainstList.TestCase


def test_the_one_before_is_the_newest_when_the_newest_is_deleted() -> None:
    state = TableAgainstList()
    state.publish(["app.a", "app.a", "app.c.d"])
    state.write()
    state.delete({2})
    state.knows_the_newest()
    state.counts()
    state.teardown()


def test_nothing_is_written_while_some_of_the_log_is_removed(tmp_path: Path) -> None:
    """A crash between the two would leave a table of the segments that are left, with the events of all."""

    async def crash() -> None:
        loop = asyncio.get_running_loop()
        with Log.open(tmp_path, segment_bytes=2000) as log:
            table = SubjectTable("app", log, SubjectStore(tmp_path / SUBJECTS_FILE, sync=False), loop)
            table.open()
            for _ in range(10):
                log.append(batch(log.next, ["app.a"] * 8))
                table.note(log.read(log.next - 8))
            await table.written()
            table.removing()
            log.drop_before(log.segments[-1].first)
            log.append(batch(log.next, ["app.a"]))
            table.note(log.read(log.next - 1))
            looked = asyncio.Event()
            table.when_written(looked.set)
            await looked.wait()
            table.stop()
            table.abandon()

    async def count() -> int:
        with Log.open(tmp_path, segment_bytes=2000) as log:
            table = SubjectTable(
                "app", log, SubjectStore(tmp_path / SUBJECTS_FILE, sync=False), asyncio.get_running_loop()
            )
            table.open()
            row = table.find(b"app.a")
            table.close()
            assert row and row.last == log.next - 1
            return row.events - (log.next - log.first)

    asyncio.run(crash())
    assert asyncio.run(count()) == 0


def test_what_is_kept_of_a_burst_is_bounded_and_all_of_it_is_counted(tmp_path: Path) -> None:
    """Nothing can be written while the loop doesn't turn, as little as with a disk that is too slow."""

    async def run() -> None:
        with Log.open(tmp_path) as log:
            store = SubjectStore(tmp_path / SUBJECTS_FILE, sync=False)
            table = SubjectTable("app", log, store, asyncio.get_running_loop(), most=1000)
            table.open()
            for number in range(100):
                stored = batch(log.next, [f"app.n{number}.{each}" for each in range(100)])
                log.append(stored)
                table.note([stored])
                assert table.events is None or table.waiting < 1000
            assert not table.is_current
            with pytest.raises(OverloadedError, match="being counted: try again") as refused:
                table.last("app.n7.7")
            assert (refused.value.code, refused.value.retry_after) == ("overloaded", 1)
            await table.written()
            assert (table.events, table.waiting, table.last("app.n7.7")) == (10_000, 0, 708)
            table.close()

    asyncio.run(run())


def test_stopping_waits_for_nothing_that_is_under_way(tmp_path: Path) -> None:
    """Whoever waited for this write on the loop would wait for the other, which the loop is to end, till it is late."""
    file = tmp_path / SUBJECTS_FILE

    async def stop(log: Log) -> None:
        table = SubjectTable("app", log, SubjectStore(file, sync=False), asyncio.get_running_loop())
        table.open()
        log.append(batch(log.next, ["app.a"]))
        table.note(log.read(log.next - 1))
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            writing = asyncio.ensure_future(table.written())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            table.stop()
            other.execute("ROLLBACK")
        with pytest.raises(StoppingError):
            await writing
        await asyncio.to_thread(table.abandon)

    with Log.open(tmp_path) as log:
        asyncio.run(stop(log))
        found = SubjectStore(file, sync=False)
        assert found.open().upto == log.next
        found.close()


def test_what_is_noted_is_written_when_its_time_has_come(loop: ManualLoop, tmp_path: Path) -> None:
    log = Log.open(tmp_path / "log")
    table = SubjectTable("app", log, SubjectStore(tmp_path / SUBJECTS_FILE, sync=False), loop)
    table.open()

    def note(*names: str) -> None:
        stored = batch(log.next, names)
        log.append(stored)
        table.note([stored])

    def written() -> list[str]:
        return [row.subject.decode() for row in loop.run_until_complete(table.by_subject(b"", b"\xff", 10))]

    note("app.a")
    loop.advance(PERIOD / 2)
    note("app.b")
    assert written() == []
    loop.advance(PERIOD / 2)
    assert written() == ["app.a", "app.b"]
    loop.run_until_complete(table.written())
    note("app.c")
    loop.advance(PERIOD)
    assert written() == ["app.a", "app.b", "app.c"]
    table.close()
    log.close()
