"""Checking everything that is stored, byte by byte, without changing anything.

Opening a log believes the sidecars and looks at the tail only; this believes nothing:

1. Each segment: both copies of the header, every batch, in an encrypted log every block.
2. Each sidecar: it is computed again from the segment, and must be the same to the byte.
3. Between segments: the count must go on. Before and behind them: no sidecar without its segment.

A torn tail is no damage: opening the log cuts it off, or a server is just writing there. Nor are zeros behind the last
batch, which a server has preallocated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from bus.storage.cipher import Cipher
from bus.storage.damage import Damage, Torn
from bus.storage.files import DISK, FileSystem
from bus.storage.header import HEADER_SIZE, damaged_copies, segment_bases, segment_path
from bus.storage.recovery import list_names, lost_segments, unreadable
from bus.storage.scan import FoundBatch, SegmentScan
from bus.storage.segment import SegmentInfo, undecryptable_batch
from bus.storage.sidecar import SIDECAR_SUFFIX, encode_sidecar
from bus.storage.stored_segment import StoredSegment, Survey, UnreadableSegment, open_stored


@dataclass(frozen=True, slots=True)
class CheckedSegment:
    """One segment that was checked.

    Parameters:
        path: the file.
        segment: what is in it; None if its header can't be read.
        damage: what is damaged or missing, in it or up to the next one.
        torn: a tail that opening would cut off.
    """

    path: Path
    segment: SegmentInfo | None
    damage: tuple[Damage, ...]
    torn: Torn | None = None


def verify(directory: Path, *, files: FileSystem = DISK, cipher: Cipher | None = None) -> Iterator[CheckedSegment]:
    """Checks the log in *directory*, one segment after the other.

    Returns:
        What was found in each. WrongKeyError, LogVersionError, or StorageError if there is no log.
    """
    names = list_names(files, directory)
    bases = segment_bases(names)
    for lost in lost_segments(files, directory, names, bases):
        yield CheckedSegment(lost.path, None, (lost,))
    for base, following in pairwise([*bases, None]):
        if base is not None:
            stored = open_stored(files, segment_path(directory, base), cipher=cipher)
            yield _check(files, stored, following)


def _check(files: FileSystem, stored: StoredSegment | UnreadableSegment, following: int | None) -> CheckedSegment:
    """Checks one segment; *following* is the base of the next one, None for the last."""
    if isinstance(stored, UnreadableSegment):
        last = following is None and stored.size <= HEADER_SIZE
        return CheckedSegment(stored.path, None, () if last else (unreadable(stored, following),))
    last_durable, promised = (stored.vouched, stored.promised) if following is None else (stored.size, following)
    found = stored.survey(durable=last_durable, trust=False)
    damage = (
        *_check_header(stored),
        *stored.damage(found.holes, found.extent, promised=promised),
        *_check_encryption(stored, found),
        *_check_sidecar(files, stored, found),
    )
    return CheckedSegment(stored.path, SegmentInfo.of(stored.path, stored.header, found.extent), damage, found.torn)


def _check_header(stored: StoredSegment) -> Iterator[Damage]:
    for offset in damaged_copies(stored.file.read(0, HEADER_SIZE)):
        what = "a copy of the header is damaged, the other one is used"
        yield Damage(stored.path, offset, stored.base, stored.base, what)


def _check_encryption(stored: StoredSegment, found: Survey) -> Iterator[Damage]:
    """What is encrypted and has the right checksum must open, too: a checksum can be made up, a tag can't."""
    scan = SegmentScan(stored.file, stored.codec, found.extent.end)
    for item in scan.scan(offset=HEADER_SIZE, expected=stored.base) if stored.header.encrypted else ():
        if isinstance(item, FoundBatch) and scan.load(item) is None:
            yield undecryptable_batch(stored.path, item)


def _check_sidecar(files: FileSystem, stored: StoredSegment, found: Survey) -> Iterator[Damage]:
    path = stored.path.with_suffix(SIDECAR_SUFFIX)
    if path.name not in files.names(path.parent) or found.holes or stored.vouched > stored.size:
        return
    if stored.vouched < found.extent.end:
        found = replace(stored, size=stored.vouched).survey(durable=stored.vouched, trust=False)
    file, expected = files.open(path), encode_sidecar(stored.header, found.extent, found.index)
    if file.size() != len(expected) or file.read(0, len(expected)) != expected:
        what = "the sidecar does not fit the segment: delete it, opening the log makes it again"
        yield Damage(path, 0, stored.base, stored.base, what)
