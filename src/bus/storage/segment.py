"""A segment: one file of the log.

     <directory>/00000000000000000001.log     header (twice), then batch after batch to the end of the file
     <directory>/00000000000000000001.idx     its sidecar: the sparse index
     <directory>/00000000000000041877.log     the name is the index of the segment's first event

Only the last segment of a log is written to. It has one appender; readers may run beside it in other
threads, because they take nothing but positioned reads, and because the appender publishes what it wrote
by one assignment of ``tail``, after the write.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bus.storage.batch import Batch
from bus.storage.batch_codec import HEAD_SIZE, MANY_BATCHES, BatchCodec, read_batch_head
from bus.storage.damage import Damage, DamagedLogError
from bus.storage.files import File
from bus.storage.header import Header
from bus.storage.index import Extent, Index, Stretch
from bus.storage.scan import FoundBatch, Hole, SegmentScan


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """A segment, as the log lists it.

    Parameters:
        path: the file.
        salt: what tells it from any other, also from one that was in its place before.
        first, next: index of its first event, and of the event after its last.
        bytes: its header and batches, without the sidecar and the zeros that an active one may end in.
        first_time, last_time: time of its first and last batch, ns since the epoch; 0 if it is empty.
        keyed: whether some event in it carries a duplicate key.
        client_ids: how many of its events have an id that doesn't carry their index.
        encrypted: whether it is encrypted.
        active: whether it is the one that is appended to.
        has_runs: whether runs of deleted events are batches of their own in it.
    """

    path: Path
    salt: bytes
    first: int
    next: int
    bytes: int
    first_time: int
    last_time: int
    keyed: bool
    client_ids: int
    encrypted: bool
    active: bool
    has_runs: bool = False

    @classmethod
    def of(cls, path: Path, header: Header, extent: Extent, *, active: bool = False) -> SegmentInfo:
        """The listing of the segment *path*."""
        return cls(
            path=path,
            salt=header.salt,
            first=header.base,
            next=extent.next,
            bytes=extent.end,
            first_time=extent.first_time,
            last_time=extent.last_time,
            keyed=extent.keyed > 0,
            client_ids=extent.client_ids,
            encrypted=header.encrypted,
            active=active,
            has_runs=header.has_runs,
        )


class SegmentTail(NamedTuple):
    """Where a segment ends: index of the next event, offset of the next batch, time of the last one (ns)."""

    next: int
    end: int
    time: int


class Segment:
    """A segment that can be read.

    Parameters:
        path: where it is.
        header: what it says about itself.
        file: the open file.
        codec: what reads its batches.
        index: finds them.
        extent: how far it reaches.
    """

    __slots__ = ("codec", "file", "header", "index", "path", "tail")

    def __init__(self, path: Path, header: Header, file: File, codec: BatchCodec, index: Index, extent: Extent) -> None:
        self.path = path
        self.header = header
        self.file = file
        self.codec = codec
        self.index = index
        self.tail = SegmentTail(extent.next, extent.end, extent.last_time)

    @property
    def base(self) -> int:
        """Index of its first event."""
        return self.header.base

    @property
    def next(self) -> int:
        """Index of the event after its last."""
        return self.tail.next

    @property
    def extent(self) -> Extent:
        """How far it reaches."""
        return self.index.extent(next=self.tail.next, end=self.tail.end, last_time=self.tail.time)

    def read(self, index: int, limit: int, most: int = MANY_BATCHES) -> list[Batch]:
        """The batches from the one with the event *index* on, at least one, else about *limit* bytes, *most* at most.

        DamagedLogError if that event is damaged; what follows damage is for the next call.
        """
        tail = self.tail
        stretch = self._stretch(self.index.find(index), tail)
        size = max(stretch.end - stretch.offset, min(limit, tail.end - stretch.offset))
        chunk = self.file.read(stretch.offset, size)
        found = self.codec.decode(
            chunk, offset=stretch.offset, expected=stretch.first, index=index, limit=limit, most=most
        )
        return found or [self._search(stretch, tail, index)]

    def is_continued(self) -> bool:
        """Whether a batch begins where this segment ends, by somebody else's hand."""
        head = read_batch_head(self.file.read(self.tail.end, HEAD_SIZE))
        return head is not None and head.first == self.tail.next

    def find_time(self, time: int) -> int:
        """Index of the first event of the first batch of *time* or later; ``next`` if there is none."""
        stretch = self._stretch(self.index.find_time(time), self.tail)
        for found in self._intact(stretch):
            if found.head.time >= time:
                return found.head.first
        return stretch.next

    def keyed_batches(self) -> Iterator[Batch]:
        """The batches that carry a duplicate key, newest first, without the damaged ones."""
        tail = self.tail
        for number in self.index.keyed_stretches():
            keyed = [found for found in self._intact(self._stretch(number, tail)) if found.head.keyed]
            yield from filter(None, map(self._scan(tail.end).load, reversed(keyed)))

    def _stretch(self, number: int, tail: SegmentTail) -> Stretch:
        return self.index.stretch(number, base=self.header.base, next=tail.next, end=tail.end)

    def _scan(self, end: int) -> SegmentScan:
        return SegmentScan(self.file, self.codec, end)

    def _intact(self, stretch: Stretch) -> Iterator[FoundBatch]:
        for item in self._scan(stretch.end).scan(offset=stretch.offset, expected=stretch.first):
            if isinstance(item, FoundBatch):
                yield item

    def _search(self, stretch: Stretch, tail: SegmentTail, index: int) -> Batch:
        """The batch with the event *index*, by a scan, when there is damage before it or in it."""
        scan = self._scan(tail.end)
        for item in scan.scan(offset=stretch.offset, expected=stretch.first):
            if isinstance(item, Hole) and (item.next is None or index < item.next):
                raise DamagedLogError(hole_damage(self.path, item, promised=tail.next))
            if isinstance(item, FoundBatch) and index < item.head.next:
                batch = scan.load(item)
                if batch is None:
                    raise DamagedLogError(undecryptable_batch(self.path, item))
                return batch
        raise DamagedLogError(Damage(self.path, tail.end, index, tail.next, "the file ends too early"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path.name}, next={self.tail.next}, bytes={self.tail.end})"


def hole_damage(path: Path, hole: Hole, *, promised: int) -> Damage:
    """A hole as damage; *promised* is the index that comes after it if no batch follows in the file."""
    following = hole.next if hole.next is not None else max(promised, hole.first)
    return Damage(path, hole.offset, hole.first, following, f"{hole.end - hole.offset} bytes are no valid batch")


def undecryptable_batch(path: Path, found: FoundBatch) -> Damage:
    """A batch that is intact by its checksum and yet doesn't open, as damage."""
    what = "a batch does not open with the secret key, though its checksum is right"
    return Damage(path, found.offset, found.head.first, found.head.next, what)
