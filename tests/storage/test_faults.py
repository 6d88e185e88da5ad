"""A disk that is full, broken or lying: nothing is promised that isn't so, and reads go on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bus.errors import DiskFullError, LogFailedError, StorageError
from bus.storage import DISK, Cipher, Log, MemoryFiles
from bus.storage.recovery import _Recovery
from tests.storage.forgetful import ForgetfulFiles

from .doubles import EIO, EMFILE, ENOSPC, FaultyFiles
from .support import DIRECTORY, Place, content, fill, make_batch


@pytest.fixture
def files() -> FaultyFiles:
    return FaultyFiles(MemoryFiles())


@pytest.fixture
def place(files: FaultyFiles, cipher: Cipher | None, preallocate: bool) -> Place:
    return Place(files, cipher=cipher, preallocate=preallocate)


@pytest.mark.parametrize("code", [ENOSPC, errno.EDQUOT])
def test_a_full_disk_refuses_a_batch_and_the_log_goes_on(place: Place, files: FaultyFiles, code: int) -> None:
    log = place.open(segment_bytes=1 << 20)
    batches, size = fill(log, 3), log.size
    files.fail = {"write": code}
    with pytest.raises(DiskFullError, match="no room in /log for event 4: free some"):
        fill(log, 1)
    assert len(place.get(place.path(1))) == log.size == size
    assert content(log) == batches
    files.fail = {}
    batches += fill(log, 2)
    assert content(log) == content(place.open()) == batches


def test_the_control_for_that_half_a_batch_is_there_before_it_is_undone(place: Place, files: FaultyFiles) -> None:
    log = place.open(segment_bytes=1 << 20)
    fill(log, 3)
    files.fail = {"write": ENOSPC, "truncate": EIO}
    with pytest.raises(LogFailedError):
        fill(log, 1)
    assert len(place.get(place.path(1))) > log.size


@pytest.mark.parametrize("fail", [{"write": EIO}, {"sync": EIO}, {"sync": ENOSPC}, {"write": ENOSPC, "truncate": EIO}])
def test_after_a_failed_write_or_sync_the_log_only_reads(
    place: Place, files: FaultyFiles, fail: dict[str, int]
) -> None:
    log = place.open()
    batches = fill(log, 3)
    files.fail = fail
    with pytest.raises(LogFailedError, match=r"failed: .*: check the disk, then restart"):
        fill(log, 1)
    files.fail = {}
    changes = len(files.changes)
    for write in (
        lambda: log.append(make_batch(log.next, time=log.time)),
        log.sync,
        log.roll,
        lambda: log.drop_before(2),
    ):
        with pytest.raises(LogFailedError, match="restart to write again"):
            write()
    assert content(log)[:3] == batches
    log.close()
    assert len(files.changes) == changes
    assert content(place.open())[:3] == batches


@pytest.mark.parametrize("call", ["create", "write", "sync"])
def test_a_full_disk_while_a_segment_begins_leaves_the_old_one(place: Place, files: FaultyFiles, call: str) -> None:
    with place.open() as log:
        batches = fill(log, 3)
        files.fail = {f"{call} {place.path(4).name}": ENOSPC}
        with pytest.raises(DiskFullError):
            log.roll()
        files.fail = {}
        assert [path.name for path in place.segments()] == [place.path(1).name]
        batches += fill(log, 2)
        log.roll()
        batches += fill(log, 2)
        assert content(log) == batches
    assert content(place.open()) == batches


def test_a_segment_that_can_not_be_taken_back_ends_the_writing(place: Place, files: FaultyFiles) -> None:
    log = place.open()
    batches = fill(log, 3)
    files.fail = {"write .log": ENOSPC, "remove": EIO}
    with pytest.raises(LogFailedError):
        log.roll()
    assert content(log) == content(place.open(read_only=True)) == batches


@pytest.mark.parametrize("call", ["create .tmp", "write .tmp", "sync .tmp", "rename"])
def test_a_sidecar_that_can_not_be_written_is_made_later(place: Place, files: FaultyFiles, call: str) -> None:
    log = place.open()
    batches = fill(log, 3)
    files.fail = {call: ENOSPC}
    log.roll()
    batches += fill(log, 3)
    assert content(log) == batches
    log.close()
    files.fail = {}
    with place.open() as log:
        assert (content(log), log.damage) == (batches, ())
    assert place.path(1, ".idx").name in files.names(place.directory)


def test_no_more_descriptors_is_not_the_end(place: Place, files: FaultyFiles) -> None:
    log = place.open()
    batches = fill(log, 3)
    files.fail = {"create": EMFILE}
    with pytest.raises(StorageError, match="raise the limit"):
        log.roll()
    assert log.failure is None
    files.fail = {}
    log.roll()
    batches += fill(log, 1)
    assert content(log) == batches


def test_a_segment_that_is_there_already_is_never_replaced(place: Place) -> None:
    log = place.open()
    fill(log, 3)
    place.files.create(place.path(4)).write(0, b"precious")
    with pytest.raises(LogFailedError, match=r"File exists|there is a file"):
        log.roll()
    assert place.get(place.path(4)) == b"precious"


@pytest.mark.parametrize("call", ["open", "read"])
def test_a_disk_that_can_not_be_read_is_said_so(place: Place, files: FaultyFiles, call: str) -> None:
    with place.open() as log:
        for first in range(1, 200):
            log.append(make_batch(first, keyed=True, client_ids=[(5, first)]))
    log = place.open()
    files.fail = {call: EIO}
    with pytest.raises(StorageError, match=r"event 1 .* failed: .*Input/output error: check the disk"):
        log.read(1)
    with pytest.raises(StorageError, match=r"reading the first event of time 0 in /log failed: .*: check the disk"):
        log.find_time(0)
    with pytest.raises(StorageError, match="reading duplicate keys in /log failed"):
        list(log.keyed_batches())
    with pytest.raises(StorageError, match="reading client-supplied ids in /log failed"):
        log.find_client_id(5)
    with pytest.raises(StorageError, match="opening the log in /log failed"):
        place.open()
    files.fail = {}
    assert log.read(1)


def test_a_write_that_was_claimed_and_not_done_is_noticed_at_the_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log.open(tmp_path, files=DISK)
    fill(log, 2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda fd, data, offset: len(data))
        log.append(make_batch(3, time=log.time))
    with pytest.raises(LogFailedError, match="bytes where"):
        log.sync()


def test_a_file_that_can_not_be_removed_is_said_so(place: Place, files: FaultyFiles) -> None:
    log = place.open()
    fill(log, 200)
    files.fail = {"remove": EIO}
    with pytest.raises(StorageError, match=r"removing /log/0+1\.log failed"):
        log.drop_before(100)
    files.fail = {}
    fill(log, 1)


def recovered_after_a_failed_sync() -> int:
    """How many events are left when a sync fails, the server starts again, and then the power goes."""
    disk = ForgetfulFiles()
    log = Log.open(DIRECTORY, files=disk)
    fill(log, 3)
    fill(log, 2, sync=False)
    disk.lose()
    assert Log.open(DIRECTORY, files=disk).next == 6
    return Log.open(DIRECTORY, files=disk.crash()).next - 1


def test_what_a_restart_recovers_after_a_failed_sync_is_written_again() -> None:
    assert recovered_after_a_failed_sync() == 5


def test_the_control_for_that_syncing_alone_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Recovery, "_make_durable", lambda self, stored, found: stored.file.sync())
    assert recovered_after_a_failed_sync() == 3
