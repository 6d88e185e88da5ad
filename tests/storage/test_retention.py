"""What retention deletes: whole segments, oldest first, never the last."""

from __future__ import annotations

from pathlib import Path

import pytest

from bus.errors import StorageError
from bus.storage import OutOfLogError, RetentionPolicy, SegmentInfo

from .support import SECOND, Place, content, fill, make_batch


def segment(number: int) -> SegmentInfo:
    """Ten events in a thousand bytes; the last at ``number`` seconds."""
    first = 10 * number - 9
    return SegmentInfo(
        path=Path(f"{first}.log"), salt=b"", first=first, next=first + 10, bytes=1000,
        first_time=(number - 1) * SECOND,
        last_time=number * SECOND, keyed=False, client_ids=0, encrypted=False, active=number == 5,
    )  # fmt: skip


SEGMENTS = [segment(number) for number in range(1, 6)]
CASES = [
    (RetentionPolicy(), 0),
    (RetentionPolicy(age=100 * SECOND), 0),
    (RetentionPolicy(age=8 * SECOND), 11),
    (RetentionPolicy(age=7 * SECOND), 21),
    (RetentionPolicy(age=0), 41),
    (RetentionPolicy(bytes=5000), 0),
    (RetentionPolicy(bytes=4999), 11),
    (RetentionPolicy(bytes=2000), 31),
    (RetentionPolicy(bytes=0), 41),
    (RetentionPolicy(events=50), 0),
    (RetentionPolicy(events=41), 0),
    (RetentionPolicy(events=40), 11),
    (RetentionPolicy(events=0), 41),
    (RetentionPolicy(age=8 * SECOND, bytes=3000), 21),
    (RetentionPolicy(age=7 * SECOND, events=50), 21),
]


@pytest.mark.parametrize(("retention", "cut"), CASES)
def test_each_limit_lets_go_of_what_is_beyond_it(retention: RetentionPolicy, cut: int) -> None:
    assert retention.cut(SEGMENTS, now=10 * SECOND) == cut


def test_nothing_is_kept_of_nothing() -> None:
    assert RetentionPolicy(events=0).cut([], now=0) == 0


def test_what_is_dropped_is_gone_for_good_and_the_rest_is_there(place: Place) -> None:
    with place.open() as log:
        batches = fill(log, 200, sync=False)
        before = log.segments
        removed = log.drop_before(before[2].first)
        assert removed == before[:2]
        assert (log.first, log.segments) == (before[2].first, before[2:])
    with place.open() as log:
        assert log.first == before[2].first
        assert content(log) == batches[log.first - 1 :]
    assert not any(path.exists() for gone in removed for path in (gone.path, gone.path.with_suffix(".idx")))


def test_a_segment_with_an_event_that_is_needed_stays(memory: Place) -> None:
    with memory.open() as log:
        fill(log, 200)
        second = log.segments[1]
        assert log.drop_before(second.first - 1) == ()
        assert len(log.drop_before(second.next - 1)) == 1
        assert log.first == second.first


def test_the_last_segment_stays_whatever_is_asked(memory: Place) -> None:
    with memory.open() as log:
        fill(log, 200)
        log.drop_before(1 << 60)
        assert (len(log.segments), log.next) == (1, 201)
    with memory.open() as log:
        assert log.next == 201


def test_a_search_that_meets_a_removal_goes_on_behind_it(memory: Place) -> None:
    """As when another thread removes a segment after this one has listed it."""
    log = memory.open()
    for first in range(1, 201):
        log.append(
            make_batch(first, time=first * SECOND, keyed=first == 1, client_ids=[(7, first)] if first < 3 else [])
        )
    listed = log._view
    log.drop_before(100)
    left, log._view = log._view, listed
    with pytest.raises(StorageError, match="reading event 1 in /log failed"):
        log.read(1)
    log._view = left
    with pytest.raises(OutOfLogError, match="event 1 was removed from the log, which begins at"):
        log._segment_with(listed, 1)
    assert log.find_time(SECOND) == log.first
    assert (log.find_client_id(7), list(log.keyed_batches())) == ([], [])


def test_a_reader_of_a_segment_that_was_dropped_goes_on_until_it_lets_go(place: Place) -> None:
    with place.open() as log:
        batches = fill(log, 200, sync=False)
        found = log.keyed_batches()
        held = log._segment_with(log._view, 1)
        log.drop_before(100)
        assert held.read(1, 100) == batches[:1]
        assert list(found) == []
