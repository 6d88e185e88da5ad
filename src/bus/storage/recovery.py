"""Opening a log: what is there, what counts, what was torn off, what is damaged.

Assumed of the disk: what was synced stays, and so do names after their directory was synced; of all else
anything may be there after a crash, in any order, a write cut or with holes; writing a sector again with
the bytes it has does not harm it. A disk may return other bytes than were written; that is noticed.

What the appender does, so that this works (``log.py``): a segment is cut behind its last batch and synced, and
its sidecar written, before the next one is created; a new segment and its name are synced before a batch goes
into it; every batch notes up to where the file was durable (``synced``).

Recovery, in order:

1. List the directory. The name of a segment says with which event it begins. A sidecar without a segment
   says that a segment was lost.
2. Read the headers. If the last file is no longer than a header and has no intact one, its creation was
   interrupted, and nothing in it was ever counted.
3. Prove the key on every header. Up to here, and throughout if read only, nothing is written.
4. Remove the interrupted creation of step 2, and temporary files.
5. Every segment but the last is complete and durable. If its sidecar vouches for just its size, that is
   believed; else the part not vouched for is scanned, and the sidecar written again. A hole is damage. A segment whose
   events are all in one before it is what writing several anew as one has left (``rewriting.py``); it is removed.
6. Scan the last segment from where its sidecar vouches for it. At a hole at offset X:
   a. if the sidecar vouches beyond X, or any intact batch behind it was written when the file was
      already durable beyond X, then X was durable: this is damage, kept and named; go on behind it;
   b. else, if nothing but zeros is left, they were preallocated (``active_segment.py``); cut the file at X, and sync;
   c. else a crash explains it: no write at or behind X was known to be durable, so none was acknowledged.
      The tail is torn; cut the file at X, and sync.
7. Write the batches again that are not known to be durable, and sync. They may be in memory only, and
   after a failed sync Linux holds pages for clean that are not on disk (Rebello et al., "Can Applications
   Recover from fsync Failures?", USENIX ATC 2020), so syncing alone would not do.
8. If the last segment is damaged, nothing more is written to it: the log goes on in a new segment, at the
   first index that was never given. The same if a lost segment was the last.

So the result is: all that was acknowledged, unless named as damage; a prefix of what was not.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from bus.errors import CorruptLogError, StorageError
from bus.storage.active_segment import ActiveSegment
from bus.storage.cipher import Cipher
from bus.storage.damage import Damage, Torn
from bus.storage.files import FileSystem
from bus.storage.header import HEADER_SIZE, segment_bases, segment_path
from bus.storage.index import Extent
from bus.storage.rewriting import remove_covered
from bus.storage.segment import SegmentInfo
from bus.storage.sidecar import SIDECAR_SUFFIX, TEMPORARY, encode_sidecar, read_sidecar, write_sidecar
from bus.storage.stored_segment import StoredSegment, Survey, UnreadableSegment, open_stored

_PIECE = 1 << 20


@dataclass(slots=True)
class Recovered:
    """What opening a log found.

    Parameters:
        closed: the segments that nothing more is written to.
        active: the one to append to; None if the next append begins a new one.
        start: the index that a new segment would begin with.
        torn: what was cut off.
        damage: what is damaged or missing, as far as opening looked.
    """

    closed: list[SegmentInfo] = field(default_factory=list)
    active: ActiveSegment | None = None
    start: int = 1
    torn: Torn | None = None
    damage: list[Damage] = field(default_factory=list)


def recover(directory: Path, *, files: FileSystem, cipher: Cipher | None, read_only: bool) -> Recovered:
    """Opens what is in *directory*, by the steps above.

    Returns:
        What was found. WrongKeyError if *cipher* isn't the one of the log, LogVersionError if a file is of
        another version, CorruptLogError if the last segment can't be read at all, so that no one knows
        at which index to go on; in all three nothing was written.
    """
    while True:
        names = list_names(files, directory)
        try:
            found = _Recovery(directory, files, cipher, read_only).run(names)
        except FileNotFoundError:
            found = None
            if not read_only or names == list_names(files, directory):
                raise
        if found and (not read_only or names == list_names(files, directory)):
            return found


class _Recovery:
    """One run of the steps."""

    def __init__(self, directory: Path, files: FileSystem, cipher: Cipher | None, read_only: bool) -> None:
        self._directory = directory
        self._files = files
        self._cipher = cipher
        self._read_only = read_only
        self._found = Recovered()

    def run(self, names: list[str]) -> Recovered:
        bases, interrupted, last = self._prove(segment_bases(names))
        if not self._read_only:
            self._clean(names, interrupted)
        self._take_all_closed(bases)
        if bases:
            self._take_last(last or self._open(bases[-1], write=not self._read_only))
        self._take_lost(lost_segments(self._files, self._directory, names, bases))
        return self._found

    def _prove(self, bases: list[int]) -> tuple[list[int], list[int], StoredSegment | UnreadableSegment | None]:
        """Steps 2 and 3: the segments that count, and the one whose creation was interrupted, if any.

        For reading, the last one that counts comes along as it was opened; to be written to, it is opened anew.
        """
        stored: StoredSegment | UnreadableSegment | None = None
        present = []
        for base in bases:
            with suppress(FileNotFoundError):  # retention may remove a segment while a reader opens the log
                stored = self._open(base)
                present.append(base)
        if stored and _is_interrupted(stored):
            return present[:-1], present[-1:], None
        if isinstance(stored, UnreadableSegment) and not self._read_only:
            raise CorruptLogError(f"{unreadable(stored, None)}: restore the file from a copy")
        return present, [], stored if self._read_only else None

    def _open(self, base: int, *, write: bool = False) -> StoredSegment | UnreadableSegment:
        return open_stored(self._files, segment_path(self._directory, base), cipher=self._cipher, write=write)

    def _clean(self, names: list[str], interrupted: list[int]) -> None:
        """Step 4."""
        leftover = [self._directory / name for name in names if name.endswith(TEMPORARY)]
        leftover += [segment_path(self._directory, base) for base in interrupted]
        for path in leftover:
            self._files.remove(path)
        if leftover:
            self._files.sync_directory(self._directory)

    def _take_all_closed(self, bases: list[int]) -> None:
        """Step 5."""
        covered = []
        for base, following in pairwise(bases):
            if self._found.start >= following:
                covered.append(segment_path(self._directory, base))
            else:
                self._take_closed(self._open(base), following)
        if not self._read_only:
            remove_covered(covered, self._files)

    def _take_closed(self, stored: StoredSegment | UnreadableSegment, promised: int) -> None:
        """One that is followed by the segment that begins with the event *promised*."""
        if isinstance(stored, UnreadableSegment):
            self._found.damage.append(unreadable(stored, promised))
        elif stored.sidecar and stored.vouched == stored.size:
            self._close(stored, stored.sidecar.extent, stored.damage([], stored.sidecar.extent, promised=promised))
            self._found.start = stored.sidecar.extent.next
        else:
            found = stored.survey(durable=stored.size)
            damage = stored.damage(found.holes, found.extent, promised=promised)
            if not found.holes and stored.vouched <= stored.size:
                self._write_sidecar(stored, found)
                self._found.start = found.extent.next
            self._close(stored, found.extent, damage)

    def _take_last(self, stored: StoredSegment | UnreadableSegment) -> None:
        """Steps 6 to 8."""
        if isinstance(stored, UnreadableSegment):
            self._found.damage.append(unreadable(stored, None))
            self._found.start = stored.base
            return
        found = stored.survey(durable=stored.vouched)
        damage = stored.damage(found.holes, found.extent, promised=stored.promised)
        self._found.start = max(found.extent.next, stored.promised)
        if not self._read_only:
            self._cut(stored, found)
            self._make_durable(stored, found)
        if damage:
            self._close(stored, found.extent, damage)
        else:
            self._found.active = stored.active(found)

    def _cut(self, stored: StoredSegment, found: Survey) -> None:
        self._found.torn = found.torn
        if found.end < stored.size:
            stored.file.truncate(found.end)
            stored.file.sync()

    def _make_durable(self, stored: StoredSegment, found: Survey) -> None:
        """Step 7."""
        for offset in range(found.synced, found.extent.end, _PIECE):
            stored.file.write(offset, stored.file.read(offset, min(_PIECE, found.extent.end - offset)))
        if found.synced < found.extent.end:
            stored.file.sync()

    def _take_lost(self, lost: list[Damage]) -> None:
        """Step 8, for segments of which only the sidecar is left."""
        self._found.damage += lost
        start = max((damage.next for damage in lost), default=0)
        if start > self._found.start:
            self._found.start = start
            self._end_active()

    def _end_active(self) -> None:
        active, self._found.active = self._found.active, None
        if active:
            self._found.closed.append(SegmentInfo.of(active.path, active.header, active.extent))
            if not self._read_only:
                active.write_sidecar(self._files)

    def _close(self, stored: StoredSegment, extent: Extent, damage: list[Damage]) -> None:
        self._found.damage += damage
        self._found.closed.append(SegmentInfo.of(stored.path, stored.header, extent))

    def _write_sidecar(self, stored: StoredSegment, found: Survey) -> None:
        if not self._read_only:
            data = encode_sidecar(stored.header, found.extent, found.index)
            write_sidecar(self._files, stored.path.with_suffix(SIDECAR_SUFFIX), data)


def list_names(files: FileSystem, directory: Path) -> list[str]:
    """The names in *directory*; StorageError if it isn't there."""
    try:
        return files.names(directory)
    except FileNotFoundError:
        raise StorageError(f"there is no log in {directory}: check the path") from None


def lost_segments(files: FileSystem, directory: Path, names: list[str], bases: list[int]) -> list[Damage]:
    """What is missing before and behind the segments *bases*, by the word of sidecars without a segment.

    A segment that is missing between two others leaves a hole in the count and is found by that.
    """
    lost = []
    for base in segment_bases(names, SIDECAR_SUFFIX):
        if not bases or not bases[0] <= base <= bases[-1]:
            path = segment_path(directory, base)
            with suppress(FileNotFoundError):
                sidecar = read_sidecar(path, files.open(path.with_suffix(SIDECAR_SUFFIX)), None)
                if sidecar:
                    lost.append(Damage(path, 0, base, sidecar.extent.next, "the segment is missing"))
    return lost


def unreadable(stored: UnreadableSegment, promised: int | None) -> Damage:
    """A segment without a header as damage, up to the event *promised*; None for the last segment."""
    what = "neither copy of the header is intact and of this segment"
    return Damage(stored.path, 0, stored.base, promised or stored.base, what, last=promised is None)


def _is_interrupted(stored: StoredSegment | UnreadableSegment) -> bool:
    return stored.size < HEADER_SIZE or (stored.size == HEADER_SIZE and isinstance(stored, UnreadableSegment))
