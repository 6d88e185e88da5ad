"""Counting the subjects of what is stored: piece by piece, with rests, on a thread that disturbs nobody.

What is damaged can't be read, so it isn't counted, neither when it is stored nor when it is removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from bus.engine.embedded.subjects.changes import Changes
from bus.storage.batch import Batch
from bus.storage.damage import DamagedLogError
from bus.storage.log_reader import LogReader, OutOfLogError
from bus.storage.rewriting import Gone
from bus.storage.segment import Segment, SegmentInfo

READ_BYTES = 256 * 1024
PIECE_SUBJECTS = 8192
PIECE_SECONDS = 0.5
"""After so many subjects, or so long, what was counted is written, so that a crash doesn't lose all of it."""

REST = 0.001
"""Seconds of rest after each read, so that the loop has the interpreter to itself."""


class Counted(NamedTuple):
    """What a piece of the log means, and the index to go on from."""

    changes: Changes
    next: int


def count_log(source: LogReader, start: int, end: int, *, rest: float = REST) -> Counted:
    """Count the events from index *start* on and before *end*, which is where a batch ends; or a piece of them."""
    changes = Changes()
    deadline = time.monotonic() + PIECE_SECONDS
    while start < end and len(changes) < PIECE_SUBJECTS and time.monotonic() < deadline:
        first = source.first
        batches = _read(source.read, max(start, first), end)
        changes.count(batches, start=start)
        start = batches[-1].next if batches else (source.first if source.first > first else end)
        if rest:
            time.sleep(rest)
    return Counted(changes, start)


def _read(read: Callable[[int, int], Sequence[Batch]], index: int, end: int) -> Sequence[Batch]:
    """Batches from *index* on, before *end*, past what is damaged; none if there are none."""
    while index < end:
        try:
            return [batch for batch in read(index, READ_BYTES) if batch.first < end]
        except DamagedLogError as error:
            index = max(error.damage.next, index + 1)
        except OutOfLogError:  # retention was faster
            break
    return ()


def count_in_segments(segments: Sequence[Segment], end: int) -> Mapping[bytes, Gone]:
    """How many events of each subject *segments* hold before the index *end*."""
    changes = Changes()
    for segment in segments:
        for batch in _batches(segment.read, segment.base, min(segment.next, end)):
            changes.count((batch,))
    return {subject: Gone(changes[subject].events, 0) for subject in changes}


def _batches(read: Callable[[int, int], Sequence[Batch]], start: int, end: int) -> Iterator[Batch]:
    while batches := _read(read, start, end):
        yield from batches
        start = batches[-1].next
        time.sleep(REST)


def newest_before(source: LogReader, wanted: Mapping[bytes, int]) -> Mapping[bytes, tuple[int, int]]:
    """The newest event of each subject before the index that is *wanted*, with its time (ns), from the back."""
    found: dict[bytes, tuple[int, int]] = {}
    left = dict(wanted)
    for segment in reversed(source.segments):
        if not left:
            break
        if segment.first < max(left.values()):
            found.update(_newest_in(source, segment, left))
            left = {subject: index for subject, index in left.items() if subject not in found}
    return found


def _newest_in(source: LogReader, segment: SegmentInfo, wanted: Mapping[bytes, int]) -> Mapping[bytes, tuple[int, int]]:
    found: dict[bytes, tuple[int, int]] = {}
    for batch in _batches(source.read, segment.first, segment.next):
        if not wanted.keys().isdisjoint(batch.subjects):
            for index in range(batch.first, batch.next):
                subject = batch.subject(index)
                if index < wanted.get(subject, 0):
                    found[subject] = index, batch.time
    return found
