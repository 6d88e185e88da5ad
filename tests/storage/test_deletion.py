"""What is deleted is gone for good, everything else stays, whenever the power goes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import DiskFullError, StorageError
from bus.storage import Batch, Cipher, Log, MemoryFiles, verify
from bus.storage.batch import NO_SUBJECT
from bus.storage.deletion import blank
from tests.storage.forgetful import ForgetfulFiles, NeverSyncsFiles, NeverSyncsNames

from .doubles import ENOSPC, FaultyFiles, PowerCutError
from .support import DIRECTORY, Place, content, make_batch
from .test_durability import disks_after

EVERY_THIRD = range(3, 1000, 3)


def frame_of(index: int) -> bytes:
    return f"event {index} ".encode() * 9


def fill(log: Log, batches: int = 12) -> None:
    """Batches of one, two and three events, of which some have ids of their own, and an empty segment behind them."""
    for number in range(batches):
        indexes = range(log.next, log.next + 1 + number % 3)
        subjects = [b"app.%d" % (index % 4) for index in indexes]
        ids = [(index, index) for index in indexes if index % 2]
        log.append(make_batch(log.next, [*map(frame_of, indexes)], subjects=subjects, client_ids=ids))
        log.sync()
    log.roll()


def delete(log: Log, gone: Collection[int] = EVERY_THIRD) -> int:
    """Delete the events with these indexes from the closed segments; returns how many there were."""
    deleted = 0
    for segment in log.segments:
        doomed: Callable[[Batch], Collection[int]] = lambda batch: {*range(batch.first, batch.next)} & {*gone}  # noqa: E731
        if not segment.active and (rewritten := log.rewrite((segment,), doomed)):
            assert log.replace(rewritten)
            log.finish(rewritten)
            deleted += rewritten.deleted
    return deleted


def frames(log: Log) -> dict[int, bytes]:
    """Every frame by its index."""
    return {index: batch.frame(index) for batch in content(log) for index in range(batch.first, batch.next)}


def expected(log: Log, gone: Collection[int] = EVERY_THIRD) -> dict[int, bytes]:
    return {index: b"" if index in gone else frame_of(index) for index in range(1, log.next)}


def test_what_is_deleted_is_nowhere_and_the_rest_is_where_it_was(place: Place) -> None:
    with place.open(segment_bytes=700) as log:
        fill(log)
        before, segments = log.next, len(log.segments)
        assert delete(log) == sum(index in EVERY_THIRD for index in range(1, before))
        assert delete(log) == 0
        assert (frames(log), log.next, len(log.segments)) == (expected(log), before, segments)
    with place.open(segment_bytes=700) as log:
        assert (frames(log), log.next, log.damage) == (expected(log), before, ())
        for index in range(1, before):
            assert log.find_client_id(index) == ([index] if index % 2 and index not in EVERY_THIRD else [])
        log.append(make_batch(before))
    assert not any(checked.damage for checked in verify(place.directory, files=place.files, cipher=place.cipher))
    for name in place.files.names(place.directory):
        assert b"event 3 " not in place.get(place.directory / name)
        assert not name.endswith(".tmp")


def test_a_reader_that_was_there_before_goes_on_beside_it(place: Place) -> None:
    with place.open(segment_bytes=700) as log:
        fill(log)
        reader = place.open(segment_bytes=700, read_only=True)
        old = frames(reader)
        delete(log)
        assert frames(log) == expected(log)
        for index, frame in frames(reader).items():
            assert frame in (old[index], expected(log)[index])


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=12), st.data())
def test_a_batch_without_some_of_its_events(names: list[bytes], data: st.DataObject) -> None:
    batch = make_batch(5, [b"<%d>" % number for number in range(len(names))], subjects=names, client_ids=[(9, 5)])
    gone = data.draw(st.sets(st.sampled_from(range(5, 5 + len(names)))))
    left = blank(batch, gone)
    assert (left.first, left.next, left.time, left.keyed) == (batch.first, batch.next, batch.time, batch.keyed)
    for index in range(batch.first, batch.next):
        deleted = index in gone
        assert left.frame(index) == (b"" if deleted else batch.frame(index))
        assert left.subject(index) == (NO_SUBJECT if deleted else batch.subject(index))
    assert left.client_ids == (() if 5 in gone else ((9, 5),))
    assert blank(left, gone) == left


def test_a_segment_that_is_removed_meanwhile_stays_removed(memory: Place) -> None:
    with memory.open(segment_bytes=700) as log:
        fill(log)
        oldest = log.segments[0]
        rewritten = log.rewrite((oldest,), lambda batch: {batch.first})
        log.drop_before(log.segments[1].first)
        assert rewritten
        assert not log.replace(rewritten)
        assert log.first == oldest.next
        assert not any(name.endswith(".tmp") for name in memory.files.names(memory.directory))


def test_a_full_disk_changes_nothing() -> None:
    files = FaultyFiles(MemoryFiles())
    log = Log.open(DIRECTORY, files=files, segment_bytes=700)
    fill(log)
    files.fail = {"write .tmp": ENOSPC}
    with pytest.raises(DiskFullError, match="nothing was changed"):
        delete(log)
    files.fail = {}
    assert frames(log) == expected(log, gone=())
    assert delete(log) > 0


# -- power cuts


def violations(disk: type[ForgetfulFiles], cipher: Cipher | None = None) -> int:
    """How many of all power cuts during and behind a deletion leave what must not be."""
    broken = number = 0
    while True:
        inner = disk()
        log = Log.open(DIRECTORY, files=inner, cipher=cipher, segment_bytes=700)
        fill(log)
        log._files = files = FaultyFiles(inner, stop_at=number)
        done = True
        try:
            delete(log)
        except PowerCutError:
            done = False
        broken += sum(not _is_kept(left, cipher, deleted=done) for left in disks_after(inner, number))
        if done:
            assert number > 20
            return broken
        assert files.inner is inner
        number += 1


def _is_kept(left: ForgetfulFiles, cipher: Cipher | None, *, deleted: bool) -> bool:
    try:
        with Log.open(DIRECTORY, files=left, cipher=cipher, segment_bytes=700) as log:
            found, wanted = frames(log), expected(log)
            for index, frame in wanted.items():
                if found[index] != frame and (deleted or found[index] != frame_of(index)):
                    return False
            leftover = [name for name in left.names(DIRECTORY) if name.endswith(".tmp")]
            return not log.damage and not leftover and log.next == 25
    except (StorageError, KeyError, StopIteration):  # a disk that lies may leave anything
        return False


def test_no_power_cut_loses_a_neighbour_or_brings_back_what_was_deleted(cipher: Cipher | None) -> None:
    assert violations(ForgetfulFiles, cipher) == 0


@pytest.mark.parametrize("disk", [NeverSyncsFiles, NeverSyncsNames])
def test_the_control_for_that_a_disk_that_does_not_sync_loses(disk: type[ForgetfulFiles]) -> None:
    assert violations(disk) > 0


def test_the_control_for_that_a_log_is_what_it_is_said_to_be(memory: Place) -> None:
    with memory.open(segment_bytes=700) as log:
        fill(log)
        assert sum(map(len, chain(frames(log).values()))) > 0
        assert frames(log) != expected(log)
