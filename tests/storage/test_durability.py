"""The power goes at every single change of the disk, and what was synced is there.

Each test has a control: the same with one promise of the disk or of the log broken, which must lose events.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest

from bus.errors import DiskFullError, StorageError
from bus.storage import Batch, Cipher, Log
from bus.storage.active_segment import ActiveSegment
from tests.storage.forgetful import ForgetfulFiles, NeverSyncsFiles, NeverSyncsNames

from .doubles import ENOSPC, FaultyFiles, PowerCutError
from .support import DIRECTORY, content, fill, make_batch

Keep = Callable[[], bool]


@dataclass
class Promise:
    """What a publisher was told: batches appended, how many of them are synced, what was dropped on purpose."""

    appended: list[Batch] = field(default_factory=list)
    synced: int = 0
    dropped_before: int = 1

    def is_kept_by(self, log: Log) -> bool:
        """Whether *log* has all that was synced, then a prefix of the rest, and no damage."""
        if log.damage:
            return False
        left = content(log)
        wanted = [batch for batch in self.appended if batch.first >= log.first]
        acknowledged = self.appended[self.synced - 1].next if self.synced else 1
        return left == wanted[: len(left)] and log.next >= acknowledged and log.first <= self.dropped_before


def live(files: FaultyFiles, cipher: Cipher | None, promise: Promise, *, preallocate: bool) -> None:
    """The life of a log: it grows over segments, is closed, opened and cut by retention."""
    for restart in range(3):
        log = Log.open(DIRECTORY, files=files, cipher=cipher, segment_bytes=1500, preallocate=preallocate)
        for step in range(5):
            for _ in range(1 + step % 3):
                promise.appended.append(
                    make_batch(log.next, [b"%d" % log.next * 90], client_ids=[(log.next, log.next)])
                )
                log.append(promise.appended[-1])
            log.sync()
            promise.synced = len(promise.appended)
        promise.dropped_before = max(promise.dropped_before, log.next - 9)
        log.drop_before(promise.dropped_before)
        if restart != 1:
            log.close()


def disks_after(files: ForgetfulFiles, number: int) -> list[ForgetfulFiles]:
    """What a power cut may leave: nothing that was not synced, all of it, and some of it in two ways."""
    choose = random.Random(number)
    return [files.crash(), files.crash(lambda: True), *(files.crash(lambda: choose.random() < 0.5) for _ in range(2))]


def violations(disk: type[ForgetfulFiles], cipher: Cipher | None = None, *, preallocate: bool = False) -> int:
    """How many of all power cuts break the promise."""
    broken = number = 0
    while True:
        promise, files = Promise(), FaultyFiles(disk(), stop_at=number)
        try:
            live(files, cipher, promise, preallocate=preallocate)
        except PowerCutError:
            assert isinstance(files.inner, ForgetfulFiles)
            for left in disks_after(files.inner, number):
                broken += not keeps(left, cipher, promise)
        else:
            assert number >= 100
            return broken
        number += 1


def keeps(left: ForgetfulFiles, cipher: Cipher | None, promise: Promise) -> bool:
    """Whether the log on the disk *left* keeps the promise, now and after another power cut."""
    try:
        log = Log.open(DIRECTORY, files=left, cipher=cipher, segment_bytes=1500)
        again = Log.open(DIRECTORY, files=left.crash(), cipher=cipher, segment_bytes=1500)
        return promise.is_kept_by(log) and again.next == log.next and promise.is_kept_by(again)
    except StorageError:
        return False


def test_no_power_cut_loses_what_was_synced(cipher: Cipher | None, preallocate: bool) -> None:
    assert violations(ForgetfulFiles, cipher, preallocate=preallocate) == 0


@pytest.mark.parametrize("disk", [NeverSyncsFiles, NeverSyncsNames])
def test_the_control_for_that_a_disk_that_does_not_sync_loses(disk: type[ForgetfulFiles], preallocate: bool) -> None:
    assert violations(disk, preallocate=preallocate) > 0


@pytest.mark.pure_only("replaces a method of a segment")
def test_the_control_for_that_a_log_that_does_not_sync_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_says_so(active: ActiveSegment, *, preallocate: bool) -> None:
        active.synced = active.tail.end

    monkeypatch.setattr(ActiveSegment, "sync", only_says_so)
    assert violations(ForgetfulFiles) > 0


def test_what_is_found_after_a_crash_of_the_process_stays_after_one_of_the_machine() -> None:
    disk = ForgetfulFiles()
    log = Log.open(DIRECTORY, files=disk)
    log.append(make_batch(1))
    assert Log.open(DIRECTORY, files=disk.crash()).next == 1
    assert Log.open(DIRECTORY, files=disk).next == 2
    assert Log.open(DIRECTORY, files=disk.crash()).next == 2


def test_segments_are_removed_oldest_first_for_certain() -> None:
    """In whatever order a crash undoes removals, no hole comes of it."""
    disk = ForgetfulFiles()
    log = Log.open(DIRECTORY, files=disk, segment_bytes=1500)
    for _ in range(60):
        log.append(make_batch(log.next, [bytes(90)]))
    files = FaultyFiles(disk)
    log._files = files
    removed = log.drop_before(50)
    assert len(removed) > 2
    assert files.changes == [
        change
        for segment in removed
        for change in (
            ("remove", segment.path.with_suffix(".idx").name),
            ("sync_directory", DIRECTORY.name),
            ("remove", segment.path.name),
            ("sync_directory", DIRECTORY.name),
        )
    ]


def all_but(forgotten: int) -> Keep:
    """Keeps every change but one."""
    number = count()
    return lambda: next(number) != forgotten


@pytest.mark.pure_only("replaces a method of a segment")
def test_the_control_for_that_zeros_in_a_closed_segment_are_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut that comes too late, or never: the next segment is there, and this one has zeros where none should be."""
    monkeypatch.setattr(ActiveSegment, "seal", ActiveSegment.sync)
    assert violations(ForgetfulFiles, preallocate=True) > 0


def test_what_was_cut_off_never_comes_back() -> None:
    """A cut that is not synced could be forgotten, and a new batch of the right size lead on to the old tail."""
    disk, place = ForgetfulFiles(), DIRECTORY / f"{1:020}.log"
    log = Log.open(DIRECTORY, files=disk)
    fill(log, 2)
    log.close()
    log = Log.open(DIRECTORY, files=disk)
    end = log.size
    fill(log, 2, sync=False)
    file = disk.open(place, write=True)
    file.write(end, b"never written")
    file.sync()
    log = Log.open(DIRECTORY, files=disk)
    assert log.torn is not None
    batches = [*content(log), *fill(log, 1, sync=False)]
    for forgotten in range(3):
        left = disk.crash(all_but(forgotten))
        found = content(Log.open(DIRECTORY, files=left))
        assert found == batches[: len(found)]


def test_a_segment_that_was_taken_back_never_comes_back() -> None:
    """Its name would come before events that went on in the segment before it."""
    disk = ForgetfulFiles()
    files = FaultyFiles(disk)
    log = Log.open(DIRECTORY, files=files)
    batches = fill(log, 3)
    files.fail = {"sync .log": ENOSPC}
    with pytest.raises(DiskFullError):
        log.roll()
    files.fail = {}
    batches += fill(log, 2)
    for forgotten in range(3):
        assert content(Log.open(DIRECTORY, files=disk.crash(all_but(forgotten)))) == batches
