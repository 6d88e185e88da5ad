"""Group commit: nobody is answered before it is so, and what failed is said of just what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.config import Fsync
from bus.engine.embedded.group_commit import Committer, InlineCommitter, ThreadCommitter, make_committer
from bus.errors import DiskFullError, LogFailedError, StorageError
from bus.storage import Batch, Log
from tests.engine.support import batch
from tests.storage.doubles import EIO, ENOSPC, FaultyFiles
from tests.storage.forgetful import ForgetfulFiles

DIRECTORY = Path("/log")

Answer = tuple[int, StorageError | None]


class Disk:
    """A log on a disk that forgets what was not synced, and fails when it is told to."""

    def __init__(self) -> None:
        self.forgetful = ForgetfulFiles()
        self.files = FaultyFiles(self.forgetful)
        self.log = Log.open(DIRECTORY, files=self.files, cipher=None, segment_bytes=1 << 20)
        self.log.sync()

    def left(self) -> int:
        """The next index of the log after a power cut now."""
        return Log.open(DIRECTORY, files=self.forgetful.crash(), cipher=None, segment_bytes=1 << 20).next


def batches(first: int, count: int) -> list[Batch]:
    return [batch(index, ["app.a"]) for index in range(first, first + count)]


async def commit(committer: Committer, wanted: Sequence[Batch], look: Callable[[], int]) -> tuple[int, Answer]:
    """Commit *wanted*; returns what *look* finds when it is answered, and the answer."""
    answered: asyncio.Future[tuple[int, Answer]] = asyncio.get_running_loop().create_future()
    committer.commit(wanted, lambda stored, failure: answered.set_result((look(), (stored, failure))))
    return await answered


def durable_when_answered(interval: float | None) -> list[tuple[int, int]]:
    """For each of some commits, where the log ends and where it would after a power cut when it is answered."""

    async def run() -> list[tuple[int, int]]:
        disk, found = Disk(), list[tuple[int, int]]()
        committer = ThreadCommitter(disk.log, asyncio.get_running_loop(), interval=interval)
        for count in (1, 3, 2):
            left, answer = await commit(committer, batches(disk.log.next, count), disk.left)
            assert answer == (count, None)
            found.append((disk.log.next, left))
        committer.close()
        return found

    return asyncio.run(run())


def test_what_is_answered_outlives_a_power_cut() -> None:
    assert durable_when_answered(None) == [(2, 2), (5, 5), (7, 7)]


def test_the_control_that_answers_before_it_syncs_loses_what_it_answered() -> None:
    assert durable_when_answered(3600) == [(2, 1), (5, 1), (7, 1)]


@pytest.mark.pure_only("replaces a method of the log")
def test_the_control_that_only_says_it_syncs_loses_what_it_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Log, "sync", lambda log: None)
    assert durable_when_answered(None) == [(2, 1), (5, 1), (7, 1)]


@pytest.mark.parametrize("fsync", Fsync)
def test_a_commit_waits_for_more_publishers_only_if_it_is_synced(fsync: Fsync) -> None:
    async def patience() -> float:
        committer = make_committer(Disk().log, fsync=fsync, interval=1, loop=asyncio.get_running_loop())
        committer.close()
        return committer.patience

    assert bool(asyncio.run(patience())) is (fsync is Fsync.ALWAYS)


@pytest.mark.parametrize("fsync", Fsync)
def test_commits_are_stored_and_answered_in_order(fsync: Fsync) -> None:
    async def run() -> None:
        disk = Disk()
        committer = make_committer(disk.log, fsync=fsync, interval=0.001, loop=asyncio.get_running_loop())
        for count in range(1, 20):
            end, answer = await commit(committer, batches(disk.log.next, count), lambda: disk.log.next)
            assert answer == (count, None)
            assert end == disk.log.next
        committer.close()
        assert [found.first for found in disk.log.read(1, 1 << 20, 1 << 10)] == list(range(1, disk.log.next))

    asyncio.run(run())


def test_a_sync_that_fails_stores_nothing_and_the_log_takes_no_more() -> None:
    async def run() -> None:
        disk = Disk()
        committer = ThreadCommitter(disk.log, asyncio.get_running_loop(), interval=None)
        disk.files.fail["sync"] = EIO
        _, (stored, failure) = await commit(committer, batches(1, 3), disk.left)
        assert stored == 0 and isinstance(failure, LogFailedError)
        disk.files.fail.clear()
        _, (stored, failure) = await commit(committer, batches(disk.log.next, 1), disk.left)
        assert stored == 0 and isinstance(failure, LogFailedError)
        committer.close()
        assert disk.left() == 1

    asyncio.run(run())


@given(st.integers(1, 6), st.data())
def test_of_a_commit_on_a_full_disk_just_those_before_are_stored(count: int, data: st.DataObject) -> None:
    fits = data.draw(st.integers(0, count - 1))
    disk, answers = Disk(), list[Answer]()

    class Filling(list[Batch]):
        """The disk fills up once so many are taken."""

        def __iter__(self) -> Iterator[Batch]:
            for number, found in enumerate(super().__iter__()):
                if number == fits:
                    disk.files.fail["write"] = ENOSPC
                yield found

    committer = InlineCommitter(disk.log)
    committer.commit(Filling(batches(1, count)), lambda stored, failure: answers.append((stored, failure)))
    ((stored, failure),) = answers
    assert stored == fits and isinstance(failure, DiskFullError)
    assert disk.log.next == fits + 1
    disk.files.fail.clear()
    committer.commit(batches(fits + 1, 1), lambda stored, failure: answers.append((stored, failure)))
    assert answers[1] == (1, None), "it goes on when there is room"


def test_maintenance_is_done_between_commits_and_its_mistakes_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        disk, seen = Disk(), list[int]()
        committer = ThreadCommitter(disk.log, asyncio.get_running_loop(), interval=None)

        def fail() -> None:
            seen.append(disk.log.next)
            raise RuntimeError("on purpose")

        await commit(committer, batches(1, 1), disk.left)
        committer.maintain(fail)
        left, answer = await commit(committer, batches(2, 1), disk.left)
        assert (left, answer, seen) == (3, (1, None), [2])
        committer.close()

    asyncio.run(run())
    assert "on purpose" in caplog.text
