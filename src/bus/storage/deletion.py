"""Deleting events out of a log: what they said is gone, and where they were stays counted.

A deleted event keeps its index. In its batch its frame has no bytes, its subject is empty, which no pattern takes, and
its id is forgotten; so whoever reads passes by, and no index is given again. A batch lies encrypted and under checksums
that cover its place, so the segment is written anew, next to the old one:

     NAME.log ──1──▶ NAME.log.tmp ──2──▶ on disk ──3──▶ NAME.idx removed ──4──▶ in the place of NAME.log ──5──▶ NAME.idx

Assumed is that the segment is closed: complete, durable, and never written to again (``recovery.py``, step 5).

1, 2. Reading and writing take time and disturb nobody; a crash leaves a temporary file, which opening removes.
3. A sidecar vouches for the bytes of one segment. The new segment has another salt, so the old one would not count.
4. The rename is one step: after a crash there is the old segment or the new one, each complete and durable.
5. Without a sidecar the next opening scans the segment.

Who has the old file open reads on in it; its bytes are in no directory any more.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress, pairwise

from msgspec.structs import replace

from bus.storage.active_segment import ActiveSegment
from bus.storage.batch import Batch, narrow
from bus.storage.cipher import Cipher
from bus.storage.files import FileSystem
from bus.storage.header import Header
from bus.storage.segment import SegmentInfo
from bus.storage.sidecar import TEMPORARY

NO_SUBJECT = b""
"""The subject of a deleted event."""

Doomed = Callable[[Batch], Collection[int]]
"""Says which events of a batch are to be deleted, by their indexes."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A segment without some of its events, which is ready to take the place of *origin*."""

    origin: SegmentInfo
    fresh: ActiveSegment
    deleted: int


def rewrite(
    origin: SegmentInfo,
    batches: Callable[[], Iterable[Batch]],
    doomed: Doomed,
    *,
    files: FileSystem,
    cipher: Cipher | None,
) -> Rewritten | None:
    """Steps 1 and 2 for the closed segment *origin*, which has *batches*; None if nothing of it is doomed.

    Raises OSError, and leaves nothing then.
    """
    if not any(_left(batch, doomed) for batch in batches()):
        return None
    path = origin.path.with_name(origin.path.name + TEMPORARY)
    with suppress(FileNotFoundError):
        files.remove(path)
    fresh = ActiveSegment.begin(files, path, files.create(path), Header.new(origin.first, cipher), cipher)
    try:
        return Rewritten(origin, fresh, _write(fresh, batches(), doomed))
    except BaseException:
        fresh.file.close()
        files.remove(path)
        raise


def _write(fresh: ActiveSegment, batches: Iterable[Batch], doomed: Doomed) -> int:
    """Write all that isn't doomed, durably; returns how many events are."""
    deleted = 0
    for batch in batches:
        gone = _left(batch, doomed)
        fresh.append(blank(batch, gone) if gone else batch)
        deleted += len(gone)
    fresh.seal()
    return deleted


def _left(batch: Batch, doomed: Doomed) -> set[int]:
    """Those of the doomed that aren't deleted yet."""
    return {index for index in doomed(batch) if batch.lengths[index - batch.first]}


def blank(batch: Batch, gone: Collection[int]) -> Batch:
    """*batch* with nothing left of the events *gone* but their indexes."""
    kept = [index not in gone for index in range(batch.first, batch.next)]
    spans = compress(pairwise(batch.offsets()), kept)
    names = [subject if stays else NO_SUBJECT for subject, stays in zip(_subjects(batch), kept, strict=True)]
    subjects = tuple(dict.fromkeys(names))
    numbers = {subject: number for number, subject in enumerate(subjects)}
    return replace(
        batch,
        frames=b"".join([batch.frames[begin:end] for begin, end in spans]),
        lengths=array("I", [length if stays else 0 for length, stays in zip(batch.lengths, kept, strict=True)]),
        subjects=subjects,
        which=narrow(map(numbers.__getitem__, names), len(subjects)),
        client_ids=tuple(pair for pair in batch.client_ids if pair[1] not in gone),
    )


def _subjects(batch: Batch) -> Iterator[bytes]:
    """The subject of each event."""
    return map(batch.subjects.__getitem__, batch.which if len(batch.subjects) > 1 else bytes(batch.count))
