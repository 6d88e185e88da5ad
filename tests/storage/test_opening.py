"""Opening and finding read little, however much there is: counted in bytes and calls, not in time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bus.storage import MemoryFiles
from bus.storage.header import HEADER_SIZE
from bus.storage.index import STRETCH
from bus.storage.sidecar import SIDECAR_SIZE

from .doubles import FaultyFiles
from .support import SECOND, Place, fill, make_batch

SEGMENT = 128 * 1024


def make(*, segments: int, size: int) -> Place:
    """A closed log of so many segments, with events of *size* bytes, all with client-supplied ids and keys."""
    place = Place(FaultyFiles(MemoryFiles()))
    log = place.open(segment_bytes=SEGMENT)
    while len(log.segments) < segments:
        first = log.next
        log.append(make_batch(first, [bytes(size)], time=first * SECOND, keyed=True, client_ids=[(first, first)]))
    fill(log, 1)
    log.close()
    return place


@contextmanager
def reading_at_most(place: Place, limit: int) -> Iterator[None]:
    """Fails if more than *limit* bytes are read meanwhile."""
    assert isinstance(place.files, FaultyFiles)
    before = place.files.bytes_read
    yield
    assert place.files.bytes_read - before <= limit


INDEX = SEGMENT // STRETCH * 25 + SEGMENT // 1000 * 16


@pytest.mark.parametrize("segments", [3, 15])
def test_opening_a_closed_log_reads_headers_and_one_index(segments: int) -> None:
    place = make(segments=segments, size=1000)
    with reading_at_most(place, segments * 2 * (HEADER_SIZE + SIDECAR_SIZE) + 2 * INDEX + 1000):
        place.open(segment_bytes=SEGMENT)


def test_opening_after_a_crash_scans_the_last_segment_only() -> None:
    place = make(segments=15, size=1000)
    place.remove(place.segments()[-1].with_suffix(".idx"))
    with reading_at_most(place, 2 * SEGMENT):
        place.open(segment_bytes=SEGMENT)


def test_opening_after_a_crash_scans_only_behind_what_the_sidecar_vouches_for() -> None:
    place = make(segments=1, size=1000)
    log = place.open(segment_bytes=SEGMENT)
    fill(log, 3)
    with reading_at_most(place, HEADER_SIZE * 2 + SIDECAR_SIZE * 2 + INDEX + 4000):
        again = place.open(segment_bytes=SEGMENT)
    assert again.next == log.next


def test_the_control_for_that_without_sidecars_everything_is_read() -> None:
    place = make(segments=5, size=1000)
    for path in place.segments():
        place.remove(path.with_suffix(".idx"))
    with pytest.raises(AssertionError), reading_at_most(place, 4 * SEGMENT):
        place.open(segment_bytes=SEGMENT)


def test_finding_by_index_and_time_reads_one_index_and_one_stretch() -> None:
    place = make(segments=15, size=1000)
    log = place.open(segment_bytes=SEGMENT)
    middle = log.next // 2
    with reading_at_most(place, HEADER_SIZE + SIDECAR_SIZE + INDEX + 3 * STRETCH):
        assert log.read(middle, 1)[0].first == middle
    with reading_at_most(place, 3 * STRETCH):
        assert log.find_time(middle * SECOND) == middle


def test_finding_by_id_reads_indexes_and_bisects() -> None:
    place = make(segments=15, size=1000)
    log = place.open(segment_bytes=SEGMENT)
    with reading_at_most(place, 15 * (HEADER_SIZE + SIDECAR_SIZE + INDEX + 500)):
        assert log.find_client_id(log.next // 2) == [log.next // 2]


def test_segments_without_keys_or_client_supplied_ids_are_not_opened() -> None:
    place = Place(FaultyFiles(MemoryFiles()))
    log = place.open()
    fill(log, 300)
    with reading_at_most(place, 0):
        assert log.find_client_id(1) == []
        assert list(log.keyed_batches()) == []


def test_the_index_has_an_entry_for_at_least_16_kib() -> None:
    place = make(segments=1, size=10)
    log = place.open(segment_bytes=SEGMENT)
    fill(log, 5000)
    for segment in log.segments[:-1]:
        opened = log._segment_with(log._view, segment.first)
        assert len(opened.index.firsts) <= segment.bytes / STRETCH + 1
