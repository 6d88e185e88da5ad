"""One segment as it is found on disk, and what a scan makes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bus.storage.active_segment import ActiveSegment
from bus.storage.batch_codec import BatchCodec
from bus.storage.cipher import Cipher
from bus.storage.damage import Damage, Torn
from bus.storage.files import File, FileSystem
from bus.storage.header import HEADER_SIZE, Header, read_header, segment_path
from bus.storage.index import Extent, GrowingIndex, Index
from bus.storage.scan import FoundBatch, Hole, SegmentScan
from bus.storage.segment import Segment, hole_damage
from bus.storage.sidecar import SIDECAR_SUFFIX, Sidecar, read_sidecar


@dataclass(slots=True)
class Survey:
    """What is in a segment.

    Parameters:
        extent: how far it reaches: behind the last batch that counts.
        index: finds its batches.
        synced: the furthest offset known to be durable.
        holes: the damage in it.
        end: where the file ends, or what a crash has torn or was preallocated begins.
        torn: the tail that a crash left, if there is one.
    """

    extent: Extent
    index: GrowingIndex
    synced: int
    end: int
    holes: list[Hole] = field(default_factory=list)
    torn: Torn | None = None


@dataclass(frozen=True, slots=True)
class UnreadableSegment:
    """A segment file without an intact header; without its salt nothing in it can be checked."""

    path: Path
    base: int
    size: int


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """A segment file whose header was read.

    Parameters:
        path: where it is.
        file, size: the open file, and its size when it was opened.
        header: what it says about itself.
        codec: what reads its batches.
        sidecar: its sidecar, if there is one and its header is intact.
        sidecar_file: the file of that.
    """

    path: Path
    file: File
    size: int
    header: Header
    codec: BatchCodec
    sidecar: Sidecar | None
    sidecar_file: File | None

    @property
    def base(self) -> int:
        """Index of its first event."""
        return self.header.base

    @property
    def vouched(self) -> int:
        """The offset before which everything was durable, by the word of the sidecar."""
        return self.sidecar.extent.end if self.sidecar else HEADER_SIZE

    @property
    def promised(self) -> int:
        """The index before which every event was stored, by the word of the sidecar."""
        return self.sidecar.extent.next if self.sidecar else self.base

    def survey(self, *, durable: int, trust: bool = True) -> Survey:
        """Scans the segment, up to the first hole that a crash explains.

        Parameters:
            durable: everything before this offset is known to have been durable.
            trust: leave out what the sidecar vouches for.
        """
        known = self._vouched_part() if trust else None
        result = known or Survey(Extent(self.base, HEADER_SIZE), GrowingIndex(), HEADER_SIZE, self.size)
        scan, last = SegmentScan(self.file, self.codec, self.size), None
        for item in scan.scan(offset=result.extent.end, expected=result.extent.next):
            if isinstance(item, FoundBatch):
                last = item
                _take_in(scan, result, item)
            elif durable > item.offset or _was_durable(scan, item):
                result.holes.append(item)
            else:
                result.end, result.torn = item.offset, self._torn(scan, item)
                break
        if last:
            result.extent = result.index.extent(next=last.head.next, end=last.end, last_time=last.head.time)
        return result

    def active(self, found: Survey) -> ActiveSegment:
        """The segment, to append to behind what was found."""
        return ActiveSegment(self.path, self.header, self.file, self.codec, found.index, found.extent)

    def segment(self) -> Segment:
        """The segment, to read from, if it is one that is no longer written to."""
        if self.sidecar and self.sidecar_file and self.vouched == self.size:
            index = self.sidecar.load(self.sidecar_file)
            if index:
                return self._segment(index, self.sidecar.extent)
        found = self.survey(durable=self.size)
        return self._segment(found.index, found.extent)

    def damage(self, holes: list[Hole], extent: Extent, *, promised: int) -> list[Damage]:
        """The damage in this segment and up to the event *promised*, with which the next one begins."""
        named = [hole_damage(self.path, hole, promised=promised) for hole in holes]
        if extent.next < promised and not (holes and holes[-1].next is None):
            named.append(self._missing(extent, promised))
        return named

    def _missing(self, extent: Extent, promised: int) -> Damage:
        if self.vouched > self.size:
            what = f"the file has {self.size} bytes where there were {self.vouched}"
            return Damage(self.path, extent.end, extent.next, promised, what)
        path = segment_path(self.path.parent, extent.next)
        return Damage(path, 0, extent.next, promised, "the segment is missing")

    def _torn(self, scan: SegmentScan, hole: Hole) -> Torn | None:
        """What a crash has torn from *hole* on: nothing if there are zeros only, or a writer has filled it since."""
        size = scan.content_end(hole.offset) - hole.offset
        return Torn(self.path, hole.offset, size) if size and not scan.is_filled(hole) else None

    def _vouched_part(self) -> Survey | None:
        if self.sidecar and self.sidecar_file and self.vouched <= self.size:
            index = self.sidecar.load_growing(self.sidecar_file)
            if index:
                return Survey(self.sidecar.extent, index, self.vouched, self.size)
        return None

    def _segment(self, index: Index, extent: Extent) -> Segment:
        return Segment(self.path, self.header, self.file, self.codec, index, extent)


def open_stored(
    files: FileSystem, path: Path, *, cipher: Cipher | None, write: bool = False
) -> StoredSegment | UnreadableSegment:
    """Reads the headers of the segment *path* and of its sidecar.

    Returns:
        Unreadable if both copies of the header are damaged. WrongKeyError if *cipher* isn't the one it
        was encrypted with, LogVersionError if it or the sidecar is of another version.
    """
    file = files.open(path, write=write)
    size = file.size()
    header = read_header(path, file.read(0, HEADER_SIZE))
    if header is None:
        return UnreadableSegment(path, int(path.stem), size)
    codec = header.codec(path, cipher)
    sidecar, sidecar_file = _open_sidecar(files, path.with_suffix(SIDECAR_SUFFIX), header)
    return StoredSegment(path, file, size, header, codec, sidecar, sidecar_file)


def _open_sidecar(files: FileSystem, path: Path, header: Header) -> tuple[Sidecar | None, File | None]:
    try:
        file = files.open(path)
    except FileNotFoundError:
        return None, None
    return read_sidecar(path, file, header), file


def _take_in(scan: SegmentScan, result: Survey, found: FoundBatch) -> None:
    result.synced = max(result.synced, found.head.synced)
    result.index.add(found.head, offset=found.offset)
    if found.head.client_ids and (batch := scan.load(found)):
        result.index.add_client_ids(batch.client_ids)


def _was_durable(scan: SegmentScan, hole: Hole) -> bool:
    """Whether a batch behind *hole* was written when the file was already durable beyond its start."""
    behind = scan.scan(offset=hole.end, expected=hole.next) if hole.next is not None else ()
    return any(isinstance(item, FoundBatch) and item.head.synced > hole.offset for item in behind)
