"""Segments that are written anew as one: nothing is lost whenever the power goes, and what is deleted takes no room."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import StorageError
from bus.storage import Batch, Cipher, Log, MemoryFiles, SegmentInfo, verify
from bus.storage.batch import MOST_RUN, NO_SUBJECT, run
from bus.storage.deletion import Doomed, blank, condensed
from tests.storage.forgetful import ForgetfulFiles, NeverSyncsFiles, NeverSyncsNames

from .doubles import FaultyFiles, PowerCutError
from .support import DIRECTORY, Place, content, make_batch
from .test_deletion import EVERY_THIRD, expected, fill, frame_of, frames
from .test_durability import disks_after

BUT_FEW = [index for index in range(1, 1000) if index % 10]
"""What is deleted where little is to be left."""


def pairs(log: Log) -> Iterator[tuple[SegmentInfo, ...]]:
    """The closed segments by twos."""
    closed = iter([segment for segment in log.segments if not segment.active])
    while pair := tuple(islice(closed, 2)):
        yield pair


def merge(log: Log, gone: Collection[int] = EVERY_THIRD) -> int:
    """Make one of every two closed segments, without these events; returns how many there were."""
    deleted = 0
    for pair in [*pairs(log)]:
        rewritten = log.rewrite(
            pair, lambda batch: {*range(batch.first, batch.next)} & {*gone}, fill=1 << 20, condense=True
        )
        if rewritten and log.replace(rewritten):
            log.finish(rewritten)
            deleted += rewritten.deleted
    return deleted


def test_neighbours_become_one(place: Place) -> None:
    with place.open(segment_bytes=700) as log:
        fill(log)
        before, segments = log.next, len(log.segments)
        assert merge(log) == sum(index in EVERY_THIRD for index in range(1, before))
        assert (frames(log), log.next) == (expected(log), before)
        assert len(log.segments) == segments // 2 + 1
    with place.open(segment_bytes=700) as log:
        assert (frames(log), log.next, log.damage) == (expected(log), before, ())
        for index in range(1, before):
            assert log.find_client_id(index) == ([index] if index % 2 and index not in EVERY_THIRD else [])
        log.append(make_batch(before))
    assert len(place.segments()) == segments // 2 + 1
    assert not any(checked.damage for checked in verify(place.directory, files=place.files, cipher=place.cipher))
    for name in place.files.names(place.directory):
        assert b"event 3 " not in place.get(place.directory / name)
        assert not name.endswith(".tmp")


def test_a_reader_that_was_there_before_goes_on_beside_it(place: Place) -> None:
    with place.open(segment_bytes=700) as log:
        fill(log)
        reader, other = (place.open(segment_bytes=700, read_only=True) for _ in range(2))
        old = frames(reader)
        merge(log)
        assert frames(log) == expected(log)
        for index, frame in frames(reader).items():
            assert frame in (old[index], expected(log)[index])
        assert other.read(6)[0].first <= 6


@given(st.lists(st.tuples(st.integers(1, 40), st.sets(st.integers(0, 39))), max_size=8))
def test_condensed_batches_have_the_same_events(parts: list[tuple[int, set[int]]]) -> None:
    batches: list[Batch] = []
    for count, places in parts:
        first = batches[-1].next if batches else 1
        names = [b"app.%d" % (place % 3) for place in range(count)]
        batch = make_batch(
            first, [b"<%d>" % place for place in range(count)], subjects=names, client_ids=[(7, first)],
            expires=[*range(count)],
        )  # fmt: skip
        batches.append(blank(batch, {first + place for place in places}))
    left = [*condensed(batches)]
    assert _events(left) == _events(batches)
    assert [found.first for found in left[1:]] == [found.next for found in left[:-1]]
    for before, after in pairwise(left):
        assert not (before.is_run and after.is_run)


def _events(batches: list[Batch]) -> dict[int, tuple[bytes, bytes, tuple[int, ...], int]]:
    """Frame, subject, ids and expiry of every event by its index; without the expiry of those that are deleted."""
    found = {}
    for batch in batches:
        for index in range(batch.first, batch.next):
            ids = tuple(digest for digest, at in batch.client_ids if at == index)
            frame = batch.frame(index)
            found[index] = (frame, batch.subject(index), ids, batch.expires[index - batch.first] if frame else 0)
    return found


def test_what_is_deleted_takes_no_room_however_much_it_is(memory: Place) -> None:
    with memory.open(segment_bytes=1 << 20) as log:
        for first in range(1, 3 * MOST_RUN, MOST_RUN // 2):
            log.append(make_batch(first, [b"x" * 20] * (MOST_RUN // 2)))
            log.roll()
        log.append(make_batch(log.next, [frame_of(0)]))
        log.roll()
        end = log.next
        closed = [found for found in log.segments if not found.active]
        everything = log.rewrite(closed, _all_but(end - 1), fill=1 << 20, condense=True)
        assert everything and log.replace(everything)
        log.finish(everything)
        assert (log.first, log.next, len(log.segments), log.damage) == (1, end, 2, ())
        assert log.segments[0].bytes < 1500
    with memory.open() as log:
        batches = content(log)
        assert [(found.count, found.is_run) for found in batches] == [*[(MOST_RUN, True)] * 3, (1, False)]
        assert batches[-1].frame(end - 1) == frame_of(0)
        assert [len(log.read(1, limit)) for limit in (1, 5 * MOST_RUN, 1 << 20)] == [1, 2, 4]


def _all_but(kept: int) -> Doomed:
    return lambda batch: {*range(batch.first, batch.next)} - {kept}


def test_a_run_is_read_back(memory: Place) -> None:
    with memory.open() as log:
        fill(log)
        merge(log, gone=range(1, 1000))
        (found,) = content(log)
        assert found == run(1, found.time, log.next - 1)
        assert {found.subject(index) for index in range(1, log.next)} == {NO_SUBJECT}


def test_every_flipped_bit_of_a_segment_with_runs_is_noticed(cipher: Cipher | None) -> None:
    place = Place(MemoryFiles(), cipher=cipher)
    with place.open(segment_bytes=700) as log:
        fill(log)
        merge(log, BUT_FEW)
        good = frames(log)
    path = place.segments()[0]
    data = place.get(path)
    sidecar = path.with_suffix(".idx")
    for bit in range(0, 8 * len(data), 7):
        place.put(path, data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :])
        damage = [found for checked in verify(DIRECTORY, files=place.files, cipher=cipher) for found in checked.damage]
        assert damage, f"bit {bit} is flipped and nobody notices"
    place.put(path, data)
    with place.open(segment_bytes=700) as log:
        assert (frames(log), log.damage) == (good, ())
    assert sidecar.name in place.files.names(DIRECTORY)


def test_what_is_behind_a_damaged_run_is_found_again(memory: Place) -> None:
    with memory.open(segment_bytes=1 << 20) as log:
        for _ in range(2):
            log.append(make_batch(log.next, [b"x"] * 1000))
            log.append(make_batch(log.next, [frame_of(1)]))
        log.roll()
        kept = {1001, 2002}
        rewritten = log.rewrite(log.segments[:1], lambda batch: {*range(batch.first, batch.next)} - kept, condense=True)
        assert rewritten and log.replace(rewritten)
        log.finish(rewritten)
    path = memory.segments()[0]
    data = bytearray(memory.get(path))
    data[300] ^= 1
    memory.put(path, bytes(data))
    memory.remove(path.with_suffix(".idx"))
    with memory.open() as log:
        assert [(found.first, found.next) for found in log.damage] == [(1, 1001)]
        assert log.read(1001)[0].frame(1001) == frame_of(1)
        assert log.read(2002)[0].frame(2002) == frame_of(1)


# -- power cuts


def violations(disk: type[ForgetfulFiles], cipher: Cipher | None = None) -> int:
    """How many of all power cuts while segments become one leave what must not be."""
    broken = number = 0
    while True:
        inner = disk()
        log = Log.open(DIRECTORY, files=inner, cipher=cipher, segment_bytes=700)
        fill(log)
        log._files = FaultyFiles(inner, stop_at=number)
        done = True
        try:
            merge(log)
        except PowerCutError:
            done = False
        broken += sum(not _is_kept(left, cipher, deleted=done) for left in disks_after(inner, number))
        if done:
            assert number > 20
            return broken
        number += 1


def _is_kept(left: ForgetfulFiles, cipher: Cipher | None, *, deleted: bool) -> bool:
    """Whether everything is there, for whoever reads it as it is and when it is opened, and nothing more afterwards."""
    try:
        for read_only in (True, False, False):
            with Log.open(DIRECTORY, files=left, cipher=cipher, segment_bytes=700, read_only=read_only) as log:
                found, wanted = frames(log), expected(log)
                for index, frame in wanted.items():
                    if found[index] != frame and (deleted or found[index] != frame_of(index)):
                        return False
                if log.damage or log.next != 25 or [*found] != [*range(1, 25)]:
                    return False
        with Log.open(DIRECTORY, files=left, cipher=cipher, segment_bytes=700) as log:
            log.drop_before(first := log.segments[1].first)
        with Log.open(DIRECTORY, files=left, cipher=cipher, segment_bytes=700) as log:
            if log.first != first or log.damage:
                return False
        names = left.names(DIRECTORY)
        sidecars = {name for name in names if name.endswith(".idx")}
        return {name.replace(".log", ".idx") for name in names if name.endswith(".log")} >= sidecars
    except (StorageError, KeyError, StopIteration):
        return False


def test_no_power_cut_loses_an_event_or_leaves_a_file(cipher: Cipher | None) -> None:
    assert violations(ForgetfulFiles, cipher) == 0


@pytest.mark.parametrize("disk", [NeverSyncsFiles, NeverSyncsNames])
def test_the_control_for_that_a_disk_that_does_not_sync_loses(disk: type[ForgetfulFiles]) -> None:
    assert violations(disk) > 0
