"""Going through a segment batch by batch, and finding the way again after damage.

A scan checks every batch: its magic, that it continues the count, its checksum in its place. Where that
fails it looks for the next place at which a whole batch of this segment stands with a larger index, and
goes on there; what lies between is a hole. Since the checksum starts from the salt of the segment and the
offset, nothing but a batch that was written right there can pass, whatever the payloads hold.

A scan holds one chunk of the file in memory, or one batch if that is larger.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bus.storage.batch import MOST_RUN, Batch
from bus.storage.batch_codec import HEAD_SIZE, MAGIC, BatchCodec, BatchHead, read_batch_head
from bus.storage.files import File

CHUNK = 1 << 20


class FoundBatch(NamedTuple):
    """An intact batch: where it begins, and its header."""

    offset: int
    head: BatchHead

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.offset + self.head.size


class Hole(NamedTuple):
    """Bytes that are no batch of this segment.

    Parameters:
        offset, end: where they begin and end.
        first: index of the event that should begin there.
        next: index of the first event behind the hole; None if no batch follows.
    """

    offset: int
    end: int
    first: int
    next: int | None


@dataclass(frozen=True, slots=True)
class SegmentScan:
    """A segment to scan: the file, what reads its batches, and the offset where it ends."""

    file: File
    codec: BatchCodec
    end: int

    def load(self, found: FoundBatch) -> Batch | None:
        """The batch that a scan found; None if it doesn't open with the key."""
        chunk, first = self.file.read(found.offset, found.head.size), found.head.first
        return next(iter(self.codec.decode(chunk, offset=found.offset, expected=first, index=first)), None)

    def scan(self, *, offset: int, expected: int) -> Iterator[FoundBatch | Hole]:
        """Everything from *offset*, where the event *expected* should begin, to the end."""
        while offset < self.end:
            for found in self._run(offset, expected):
                yield found
                offset, expected = found.end, found.head.next
            if offset < self.end and not self.is_filled(hole := self._hole(offset, expected)):
                yield hole
                offset, expected = hole.end, hole.next or expected

    def is_filled(self, hole: Hole) -> bool:
        """Whether a batch has been written into *hole* since; so it is with all that a writer has others behind."""
        return next(self._run(hole.offset, hole.first), None) is not None

    def content_end(self, offset: int) -> int:
        """Where what is there from *offset* on ends: behind the last byte that is not zero."""
        end = offset
        while chunk := self.file.read(offset, min(CHUNK, self.end - offset)):
            end = offset + len(content) if (content := chunk.rstrip(b"\0")) else end
            offset += len(chunk)
        return end

    def _run(self, offset: int, expected: int) -> Iterator[FoundBatch]:
        """The intact batches from *offset* on, up to the first that isn't."""
        while chunk := self.file.read(offset, min(CHUNK, self.end - offset)):
            head = read_batch_head(chunk)
            if head and len(chunk) < head.size <= self.end - offset:
                chunk = self.file.read(offset, head.size)
            heads = self.codec.heads(chunk, offset=offset, expected=expected)
            for head in heads:
                yield FoundBatch(offset, head)
                offset, expected = offset + head.size, head.next
            if not heads:
                return

    def _hole(self, offset: int, expected: int) -> Hole:
        """The hole that begins at *offset*, up to the next intact batch of this segment."""
        for at in self._magics(offset + 1):
            head = read_batch_head(self.file.read(at, HEAD_SIZE))
            if head and self._plausible(head, at, expected, at - offset) and self._intact(head, at):
                return Hole(offset, at, expected, head.first)
        return Hole(offset, self.end, expected, None)

    def _plausible(self, head: BatchHead, at: int, expected: int, skipped: int) -> bool:
        most = skipped * (MOST_RUN if self.codec.has_runs else 1)
        return at + head.size <= self.end and expected <= head.first <= expected + most

    def _intact(self, head: BatchHead, at: int) -> bool:
        return bool(self.codec.heads(self.file.read(at, head.size), offset=at, expected=head.first))

    def _magics(self, offset: int) -> Iterator[int]:
        """Every place from *offset* on where the magic of a batch stands."""
        while offset + HEAD_SIZE <= self.end:
            chunk = self.file.read(offset, min(CHUNK, self.end - offset))
            at = chunk.find(MAGIC)
            while at >= 0:
                yield offset + at
                at = chunk.find(MAGIC, at + 1)
            if len(chunk) < len(MAGIC):
                return
            offset += len(chunk) - len(MAGIC) + 1
