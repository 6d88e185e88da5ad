"""A log on disk, in memory, plain and encrypted: what goes in comes out, and is found."""

from __future__ import annotations

from array import array

import pytest
from msgspec.structs import replace

from bus.errors import LogFailedError, StorageError
from bus.storage import Log, MemoryFiles, OutOfLogError

from .support import SECOND, Place, content, fill, make_batch


def test_an_empty_log_has_nothing_to_read(place: Place) -> None:
    with place.open() as log:
        assert (log.first, log.next, log.time, log.size, log.segments) == (1, 1, 0, 0, ())
        assert log.read(1) == []
        assert log.find_time(0) == 1
        assert log.find_client_id(7) == []
        assert list(log.keyed_batches()) == []


@pytest.mark.parametrize("events", [1, 7])
@pytest.mark.parametrize("limit", [1, 1000, 1 << 20])
def test_what_is_appended_is_read_back_over_segments_and_restarts(place: Place, events: int, limit: int) -> None:
    with place.open() as log:
        batches = fill(log, 100, events=events, sync=False)
        assert content(log, limit=limit) == batches
        assert len(log.segments) > 2
    with place.open() as log:
        assert content(log, limit=limit) == batches
        batches += fill(log, 10)
        assert content(log, limit=limit) == batches
        assert (log.damage, log.torn) == ((), None)


def test_every_event_can_be_read_by_its_index(place: Place) -> None:
    with place.open() as log:
        for batch in fill(log, 50, events=3):
            for index in range(batch.first, batch.next):
                assert log.read(index)[0] == batch


def test_a_read_gives_about_as_much_as_asked_and_at_least_one_batch(memory: Place) -> None:
    log = memory.open(segment_bytes=1 << 20)
    fill(log, 20, size=1000)
    assert len(log.read(1, 1)) == 1
    assert 2 <= len(log.read(1, 5000)) <= 6
    assert len(log.read(11, 5000)) >= 2
    assert len(log.read(1, 1 << 20)) == 20
    assert [batch.first for batch in log.read(11, 1 << 20, most=3)] == [11, 12, 13]


def test_a_batch_larger_than_a_segment_has_one_of_its_own(memory: Place) -> None:
    with memory.open() as log:
        batches = [*fill(log, 2), *fill(log, 1, size=10_000), *fill(log, 2)]
        assert [segment.first for segment in log.segments] == [1, 3, 4]
        assert content(log) == batches


def test_reading_outside_the_log_is_refused(memory: Place) -> None:
    log = memory.open()
    fill(log, 100)
    log.drop_before(50)
    assert log.first > 1
    for index in (0, log.first - 1, log.next + 1):
        with pytest.raises(OutOfLogError, match=f"event {index} is not in the log"):
            log.read(index)


def test_a_batch_that_does_not_continue_the_log_is_refused(memory: Place) -> None:
    log = memory.open()
    fill(log, 3)
    for wrong in (make_batch(3), make_batch(5), make_batch(4, time=log.time - 1), make_batch(4, [])):
        with pytest.raises(ValueError, match="doesn't continue a log at event 4"):
            log.append(wrong)
    assert log.next == 4


def test_time_is_found_to_the_batch(place: Place) -> None:
    with place.open() as log:
        fill(log, 300)
    with place.open() as log:
        for index in (1, 2, 150, 151, 299, 300):
            assert log.find_time(index * SECOND) == index
            assert log.find_time(index * SECOND - 1) == index
        assert log.find_time(0) == 1
        assert log.find_time(301 * SECOND) == 301


def test_of_batches_with_one_time_the_first_is_found(memory: Place) -> None:
    log = memory.open(segment_bytes=1 << 20)
    for first in range(1, 1001):
        log.append(make_batch(first, [bytes(200)], time=first // 500))
    assert (log.find_time(0), log.find_time(1), log.find_time(2)) == (1, 500, 1000)


def test_client_supplied_ids_are_found_newest_first_before_and_after_a_restart(place: Place) -> None:
    with place.open() as log:
        for first in range(1, 201):
            log.append(make_batch(first, client_ids=[(log.hash_id(b"e_%d" % (first % 150)), first)]))
        assert log.find_client_id(log.hash_id(b"e_7")) == [157, 7]
    with place.open() as log:
        assert log.find_client_id(log.hash_id(b"e_7")) == [157, 7]
        assert log.find_client_id(log.hash_id(b"e_100")) == [100]
        assert log.find_client_id(log.hash_id(b"e_999")) == []


def test_a_client_supplied_id_twice_in_one_segment_is_found_twice(place: Place) -> None:
    with place.open(segment_bytes=1 << 20) as log:
        log.append(make_batch(1, [b"a", b"b", b"c"], client_ids=[(5, 1), (9, 2), (5, 3)]))
        log.append(make_batch(4, client_ids=[(5, 4)]))
    with place.open(segment_bytes=1 << 20) as log:
        assert log.find_client_id(5) == [4, 3, 1]
        log.roll()
        assert log.find_client_id(5) == [4, 3, 1]


def test_keyed_batches_come_newest_first_and_no_others(place: Place) -> None:
    with place.open() as log:
        for first in range(1, 301):
            log.append(make_batch(first, keyed=first in (3, 4, 120, 300)))
        assert [batch.first for batch in log.keyed_batches()] == [300, 120, 4, 3]
    with place.open() as log:
        assert [batch.first for batch in log.keyed_batches()] == [300, 120, 4, 3]
        assert sum(segment.keyed for segment in log.segments) == 3


def test_the_listing_of_segments_is_complete(place: Place) -> None:
    with place.open() as log:
        fill(log, 200)
        listed = log.segments
    assert [segment.next for segment in listed[:-1]] == [segment.first for segment in listed[1:]]
    assert [segment.active for segment in listed] == [False] * (len(listed) - 1) + [True]
    for segment in listed:
        assert segment.bytes == len(place.get(segment.path))
        assert segment.first_time == segment.first * SECOND
        assert segment.last_time == (segment.next - 1) * SECOND
        assert segment.encrypted == (place.cipher is not None)
    with place.open() as log:
        assert log.segments == listed
        assert log.size == sum(segment.bytes for segment in listed)


def test_a_rolled_log_goes_on_in_a_new_segment(place: Place) -> None:
    with place.open() as log:
        batches = fill(log, 2)
        log.roll()
        log.roll()
        assert [(segment.first, segment.next) for segment in log.segments] == [(1, 3), (3, 3)]
        assert (log.next, log.time) == (3, 2 * SECOND)
        log.drop_before(3)
        assert (log.first, log.next) == (3, 3)
    with place.open() as log:
        assert (log.first, log.next) == (3, 3)
        assert fill(log, 1) == content(log)
    assert len(batches) == 2


def test_an_empty_log_can_start_at_any_index_once(place: Place) -> None:
    with place.open() as log:
        log.start_at(500)
        assert (log.first, log.next) == (500, 500)
        fill(log, 2)
        with pytest.raises(ValueError, match="can't begin at 7"):
            log.start_at(7)
    with place.open() as log:
        assert (log.first, log.next) == (500, 502)


def test_a_closed_log_takes_no_writes(place: Place) -> None:
    log = place.open()
    fill(log, 1)
    log.close()
    log.close()
    with pytest.raises(LogFailedError, match="is closed"):
        log.append(make_batch(2, time=SECOND))


def test_a_missing_directory_is_created_only_for_writing(place: Place) -> None:
    with pytest.raises(StorageError, match="there is no log in"):
        place.open(read_only=True)
    with place.open():
        pass
    with place.open(read_only=True) as log:
        assert log.next == 1


@pytest.mark.parametrize("segment_bytes", [0, 296, 1 << 32])
def test_a_senseless_segment_size_is_refused(memory: Place, segment_bytes: int) -> None:
    with pytest.raises(ValueError, match="a segment can't have"):
        memory.open(segment_bytes=segment_bytes)


def test_other_files_in_the_directory_are_left_alone(place: Place) -> None:
    with place.open() as log:
        batches = fill(log, 3)
    strange = [place.directory / name for name in ("notes.log", "12.log", "readme", "x.idx")]
    for path in strange:
        place.files.create(path).write(0, b"mine")
    with place.open() as log:
        assert content(log) == batches
        assert log.damage == ()
    assert [place.get(path) for path in strange] == [b"mine"] * 4


def test_a_log_says_what_it_is(memory: Place) -> None:
    log = memory.open()
    batches = fill(log, 3)
    assert repr(log) == "Log('/log', first=1, next=4)"
    assert repr(batches[2]) == "Batch(3 to 3, 40 bytes, subjects=1)"
    log.close()
    assert repr(log).endswith("failure='the log in /log is closed')")


def test_a_log_in_memory_goes_with_its_file_system() -> None:
    files = MemoryFiles()
    log = Log.open(Place(files).directory, files=files)
    log.append(replace(make_batch(1), lengths=array("I", [29])))
    assert Log.open(Place(files).directory, files=files).next == 2
    assert Log.open(Place(MemoryFiles()).directory, files=MemoryFiles()).next == 1


def test_a_reader_is_told_when_a_writer_adds_events(place: Place) -> None:
    with place.open() as log:
        for roll in (False, False, True, False, True):
            reader = place.open(read_only=True)
            assert not reader.has_grown()
            if roll:
                log.roll()
            fill(log, 1)
            assert reader.has_grown()
            fill(log, 1, sync=False)
            assert reader.has_grown()
        assert not place.open(read_only=True).has_grown()
    assert not place.open(read_only=True).has_grown()
