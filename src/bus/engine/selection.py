"""Which bytes of a batch a subscriber gets.

A batch keeps its frames contiguous and knows its distinct subjects. If a filter takes all of them the
whole region goes out in one piece; if none, the batch is skipped; only else is it sliced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import compress, islice, pairwise

from bus.storage.batch import Batch
from bus.subject import Filter
from bus.wire import join_frames


def select(batch: Batch, wanted: Filter, *, start: int, ndjson: bool) -> bytes:
    """The bytes of the events of *batch* that *wanted* takes, from index *start* on."""
    taken = [wanted.matches(subject) for subject in batch.subjects]
    if not any(taken):
        return b""
    if all(taken) and not ndjson:
        return batch.frames[batch.offsets()[max(start - batch.first, 0)] :] if start > batch.first else batch.frames
    return join_frames([frame for _, frame in _sliced(batch, taken, start)], ndjson=ndjson)


def matching(batches: Iterable[Batch], wanted: Filter, *, start: int) -> Iterator[tuple[int, bytes]]:
    """Index and frame of each event that *wanted* takes, from index *start* on."""
    for batch in batches:
        taken = [wanted.matches(subject) for subject in batch.subjects]
        if any(taken):
            yield from _sliced(batch, taken, start)


def _sliced(batch: Batch, taken: list[bool], start: int) -> Iterator[tuple[int, bytes]]:
    frames = batch.frames
    skipped = max(start - batch.first, 0)
    spans: Iterable[tuple[int, tuple[int, int]]] = enumerate(pairwise(batch.offsets()), batch.first)
    if not all(taken):
        spans = compress(spans, _mask(batch, taken))
        return ((index, frames[begin:end]) for index, (begin, end) in spans if index >= start)
    return ((index, frames[begin:end]) for index, (begin, end) in islice(spans, skipped, None))


def _mask(batch: Batch, taken: list[bool]) -> Iterable[bool] | bytes:
    """For each event of the batch, whether its subject is taken."""
    if isinstance(batch.which, bytes):
        return batch.which.translate(bytes(taken).ljust(256, b"\0"))
    return map(taken.__getitem__, batch.which)
