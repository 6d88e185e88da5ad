"""Writing closed segments anew without some of their events, one for one or neighbours as one.

A batch lies encrypted and under checksums that cover its place, so a segment is written anew, next to the old one:

                        what happens                                           where
     1  A.log.tmp       all that stays of A, B and C, synced piece by piece    any thread
     2  A.idx.tmp       its sidecar, synced; A.idx is removed, durably         any thread
     3  A.log, A.idx    the two get their names; readers find events there     between commits
     4                  the names are durable                                  any thread
     5  B.idx, C.idx    are removed, durably; after them B.log and C.log       any thread

Assumed is that the segments are closed: complete, durable, and never written to again (``recovery.py``, step 5), and
that no other segment of the log is being rewritten.

1, 2. Reading and writing take time and disturb nobody; a crash leaves temporary files, which opening removes.
   A sync of much at once would keep those of publishers waiting, so it is done in pieces.
2. A sidecar vouches for the bytes of one segment. The new segment has another salt, so the old one would not count;
   without any, the next opening scans the segment.
3. A rename is one step: after a crash there is A as it was or A as it is to be, each complete and durable. Beside the
   latter, B and C say again what is in it: opening removes them (``recovery.py``, step 5).
5. The sidecar goes first: one without its segment says that the segment was lost.

Who has an old file open reads on in it; its bytes are in no directory any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bus.storage.active_segment import ActiveSegment
from bus.storage.batch import Batch
from bus.storage.cipher import Cipher
from bus.storage.deletion import Doomed, blank, condensed, left_of
from bus.storage.files import FileSystem
from bus.storage.header import LOG_SUFFIX, LOG_VERSION, PLAIN_VERSION, Header
from bus.storage.segment import SegmentInfo
from bus.storage.sidecar import SIDECAR_SUFFIX, TEMPORARY, encode_sidecar

SYNC_BYTES = 1 << 20
"""How much is written before it is synced: what a disk does in the time that a publisher waits for anyway."""


class Gone(NamedTuple):
    """How many events of a subject are gone, and the index of the newest of them."""

    events: int
    newest: int


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A segment that is ready to take the place of *origins*, neighbours without some of their events.

    Parameters:
        origins: the segments it was made of, oldest first.
        segment: its listing, where it is to be.
        gone: what it is without that they had, by subject.
    """

    origins: tuple[SegmentInfo, ...]
    segment: SegmentInfo
    gone: Mapping[bytes, Gone]

    @property
    def deleted(self) -> int:
        """How many events are gone."""
        return sum(gone.events for gone in self.gone.values())

    @property
    def freed(self) -> int:
        """How many bytes it is smaller."""
        return sum(origin.bytes for origin in self.origins) - self.segment.bytes


def temporary_paths(segment: Path) -> tuple[Path, Path]:
    """Where what is to take the place of *segment* waits, and its sidecar."""
    return segment.with_name(segment.name + TEMPORARY), segment.with_suffix(SIDECAR_SUFFIX + TEMPORARY)


def rewrite(
    origins: Sequence[SegmentInfo],
    batches: Callable[[SegmentInfo], Iterable[Batch]],
    doomed: Doomed,
    *,
    fill: int,
    condense: bool,
    files: FileSystem,
    cipher: Cipher | None,
) -> Rewritten | None:
    """Steps 1 and 2 for the first of the closed segments *origins*, and those behind it until there are *fill* bytes.

    *batches* gives those of a segment. None if the first would be all, and has nothing doomed. Raises OSError, and
    leaves nothing then.
    """
    alone = len(origins) == 1 or origins[0].bytes >= fill
    if alone and not any(left_of(batch, doomed) for batch in batches(origins[0])):
        return None
    path, sidecar = temporary_paths(origins[0].path)
    version = LOG_VERSION if condense or any(origin.has_runs for origin in origins) else PLAIN_VERSION
    header = Header.new(origins[0].first, cipher, version=version)
    _clear(files, (path, sidecar))
    fresh = ActiveSegment.begin(files, path, files.create(path), header, cipher)
    try:
        taken, gone = _write(fresh, origins, batches, doomed, fill)
        _prepare_sidecar(fresh, sidecar, origins[0].path.with_suffix(SIDECAR_SUFFIX), files)
    except BaseException:
        _clear(files, (path, sidecar))
        raise
    finally:
        fresh.file.close()
    return Rewritten(tuple(origins[:taken]), SegmentInfo.of(origins[0].path, header, fresh.extent), gone)


def _write(
    fresh: ActiveSegment,
    origins: Sequence[SegmentInfo],
    batches: Callable[[SegmentInfo], Iterable[Batch]],
    doomed: Doomed,
    fill: int,
) -> tuple[int, Mapping[bytes, Gone]]:
    """Write all that isn't doomed, durably; returns of how many segments, and what is."""
    taken, deleted = 0, dict[bytes, Gone]()

    def remaining() -> Iterator[Batch]:
        nonlocal taken
        for origin in origins:
            if taken and fresh.tail.end >= fill:
                return
            taken += 1
            for batch in batches(origin):
                gone = left_of(batch, doomed)
                _note(batch, gone, deleted)
                yield blank(batch, gone) if gone else batch

    left = remaining()
    for batch in condensed(left) if fresh.header.has_runs else left:
        fresh.append(batch)
        if fresh.tail.end - fresh.synced >= SYNC_BYTES:
            fresh.sync()
    fresh.seal()
    return taken, deleted


def _note(batch: Batch, gone: Iterable[int], deleted: dict[bytes, Gone]) -> None:
    for index in sorted(gone):
        subject = batch.subject(index)
        before = deleted.get(subject)
        deleted[subject] = Gone(before.events + 1 if before else 1, index)


def _prepare_sidecar(fresh: ActiveSegment, temporary: Path, old: Path, files: FileSystem) -> None:
    """Step 2."""
    file = files.create(temporary)
    try:
        file.write(0, encode_sidecar(fresh.header, fresh.extent, fresh.index))
        file.sync()
    finally:
        file.close()
    _clear(files, (old,))
    files.sync_directory(old.parent)


def place(rewritten: Rewritten, files: FileSystem) -> None:
    """Step 3."""
    target = rewritten.segment.path
    path, sidecar = temporary_paths(target)
    files.rename(path, target)
    files.rename(sidecar, target.with_suffix(SIDECAR_SUFFIX))


def finish(rewritten: Rewritten, files: FileSystem) -> None:
    """Steps 4 and 5."""
    files.sync_directory(rewritten.segment.path.parent)
    remove_covered([origin.path for origin in rewritten.origins[1:]], files)


def remove_covered(segments: Sequence[Path], files: FileSystem) -> None:
    """Step 5: remove *segments* that another one has all events of, durably."""
    for suffix in (SIDECAR_SUFFIX, LOG_SUFFIX) if segments else ():
        _clear(files, [path.with_suffix(suffix) for path in segments])
        files.sync_directory(segments[0].parent)


def discard(rewritten: Rewritten, files: FileSystem) -> None:
    """Remove what is not to take any place after all."""
    _clear(files, temporary_paths(rewritten.segment.path))


def _clear(files: FileSystem, paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):
            files.remove(path)
