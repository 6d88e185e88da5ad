"""What deleting does to batches: what events said is gone, and where they were stays counted.

A deleted event keeps its index. In its batch its frame has no bytes, its subject is empty, which no pattern takes, and
its id is forgotten; so whoever reads passes by, and no index is given again.

     before      | a b c | d | e f |            c, d, e deleted
     blank       | a b · | · | · f |            a place in the table each: 4 bytes and more
     condensed   | a b | · · · | f |            a run, which takes no room, however long

Batches of closed segments may be cut, because all of their events are there.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import compress, groupby, pairwise

from msgspec.structs import replace

from bus.storage.batch import MOST_RUN, NO_SUBJECT, Batch, narrow, run

Doomed = Callable[[Batch], Collection[int]]
"""Says which events of a batch are to be deleted, by their indexes."""

LEAST_RUN = 16
"""Deleted events that are cut out of a batch: their places in its table take more than the header of another one."""


def left_of(batch: Batch, doomed: Doomed) -> set[int]:
    """Those of the doomed that aren't deleted yet."""
    return {index for index in doomed(batch) if batch.lengths[index - batch.first]}


def blank(batch: Batch, gone: Collection[int]) -> Batch:
    """*batch* with nothing left of the events *gone* but their indexes."""
    kept = [index not in gone for index in range(batch.first, batch.next)]
    spans = compress(pairwise(batch.offsets()), kept)
    names = [subject if stays else NO_SUBJECT for subject, stays in zip(_subjects(batch), kept, strict=True)]
    subjects = tuple(dict.fromkeys(names))
    return replace(
        batch,
        frames=b"".join([batch.frames[begin:end] for begin, end in spans]),
        lengths=array("I", [length if stays else 0 for length, stays in zip(batch.lengths, kept, strict=True)]),
        subjects=subjects,
        which=_which(names, subjects),
        client_ids=tuple(pair for pair in batch.client_ids if pair[1] not in gone),
    )


def condensed(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The same events, with runs of the deleted ones as batches of their own, of at most `MOST_RUN` each."""
    first = count = time = 0
    for batch in batches:
        for part in _parts(batch):
            if part.is_run and count + part.count <= MOST_RUN:
                first, count, time = first if count else part.first, count + part.count, part.time
                continue
            if count:
                yield run(first, time, count)
                count = 0
            if part.is_run:
                first, count, time = part.first, part.count, part.time
            else:
                yield part
    if count:
        yield run(first, time, count)


def _parts(batch: Batch) -> Iterator[Batch]:
    """*batch* cut at its long runs of deleted events."""
    begin = 0
    for deleted, group in groupby(range(batch.count), lambda place: not batch.lengths[place]):
        places = list(group)
        if deleted and len(places) >= min(LEAST_RUN, batch.count):
            if begin < places[0]:
                yield _part(batch, begin, places[0])
            yield run(batch.first + places[0], batch.time, len(places))
            begin = places[-1] + 1
    if begin < batch.count:
        yield _part(batch, begin, batch.count) if begin else batch


def _part(batch: Batch, begin: int, end: int) -> Batch:
    """The events at the places from *begin* on before *end*, as a batch."""
    offsets = batch.offsets()
    first, following = batch.first + begin, batch.first + end
    names = list(_subjects(batch))[begin:end]
    subjects = tuple(dict.fromkeys(names))
    return replace(
        batch,
        first=first,
        frames=batch.frames[offsets[begin] : offsets[end]],
        lengths=batch.lengths[begin:end],
        subjects=subjects,
        which=_which(names, subjects),
        client_ids=tuple(pair for pair in batch.client_ids if first <= pair[1] < following),
        expires=batch.expires[begin:end],
    )


def _which(names: Iterable[bytes], subjects: tuple[bytes, ...]) -> bytes | array[int]:
    numbers = {subject: number for number, subject in enumerate(subjects)}
    return narrow(map(numbers.__getitem__, names), len(subjects))


def _subjects(batch: Batch) -> Iterator[bytes]:
    """The subject of each event."""
    return map(batch.subjects.__getitem__, batch.which if len(batch.subjects) > 1 else bytes(batch.count))
