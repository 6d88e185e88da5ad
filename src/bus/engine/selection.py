"""Which bytes of a batch a subscriber gets.

A batch keeps its frames contiguous and knows its distinct subjects. If a filter takes all of them the
whole region goes out in one piece; if none, the batch is skipped; only else is it sliced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress, islice, pairwise
from typing import NamedTuple

from bus.storage.batch import Batch
from bus.subject import Filter
from bus.wire import join_frames


class Selected(NamedTuple):
    """What a subscriber gets of a batch, how many events that is, and the index to go on from."""

    data: bytes
    events: int
    next: int


def select(
    batch: Batch, wanted: Filter, *, start: int, ndjson: bool, limit: int | None = None, until: int | None = None
) -> Selected:
    """The events of *batch* that *wanted* takes, from index *start* on, at most *limit* and before *until*."""
    end = batch.next if until is None else min(batch.next, until)
    taken = [wanted.matches(subject) for subject in batch.subjects]
    if not any(taken):
        return Selected(b"", 0, end)
    if all(taken) and not ndjson and (limit is None or limit >= end - start):
        return _region(batch, max(start, batch.first), end)
    found = [pair for pair in islice(_sliced(batch, taken, start), limit) if pair[0] < end]
    next_index = found[-1][0] + 1 if found and len(found) == limit else end
    return Selected(join_frames([frame for _, frame in found], ndjson=ndjson), len(found), next_index)


def _region(batch: Batch, start: int, end: int) -> Selected:
    """All frames from index *start* up to *end*, in one piece."""
    if start == batch.first and end == batch.next:
        return Selected(batch.frames, batch.count, end)
    offsets = batch.offsets()
    return Selected(batch.frames[offsets[start - batch.first] : offsets[end - batch.first]], end - start, end)


def matching(batches: Iterable[Batch], wanted: Filter, *, start: int) -> Iterator[tuple[int, bytes]]:
    """Index and frame of each event that *wanted* takes, from index *start* on."""
    for batch in batches:
        taken = [wanted.matches(subject) for subject in batch.subjects]
        if any(taken):
            yield from _sliced(batch, taken, start)


def count_matching(batch: Batch, wanted: Filter, *, start: int) -> int:
    """How many events of *batch* *wanted* takes, from index *start* on."""
    taken = [wanted.matches(subject) for subject in batch.subjects]
    skipped = max(start - batch.first, 0)
    if all(taken):
        return batch.count - skipped
    return sum(islice(_mask(batch, taken), skipped, None)) if any(taken) else 0


def _sliced(batch: Batch, taken: list[bool], start: int) -> Iterator[tuple[int, bytes]]:
    frames = batch.frames
    spans: Iterable[tuple[int, tuple[int, int]]] = enumerate(pairwise(batch.offsets()), batch.first)
    if not all(taken):
        spans = compress(spans, _mask(batch, taken))
        return ((index, frames[begin:end]) for index, (begin, end) in spans if index >= start)
    skipped = max(start - batch.first, 0)
    return ((index, frames[begin:end]) for index, (begin, end) in islice(spans, skipped, None))


def _mask(batch: Batch, taken: list[bool]) -> Iterable[int]:
    """For each event of the batch, whether its subject is taken."""
    if isinstance(batch.which, bytes):
        return batch.which.translate(bytes(taken).ljust(256, b"\0"))
    return map(taken.__getitem__, batch.which)
