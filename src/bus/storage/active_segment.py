"""The segment that is appended to.

     <------------- size of the file, durable ------------->
     +--------+-------+-------+-------+--------------------+
     | header | batch | batch | batch | 0 0 0 ...          |
     +--------+-------+-------+-------+--------------------+
                                      ^ tail.end

A sync that has to make a new size durable writes to the journal of the file system as well, which takes longer than
the batch itself. So one that has to takes zeros along (``preallocate``), and those that follow, until the zeros are
used up, only write over what is there. The zeros are cut off before the segment is closed.
"""

from __future__ import annotations

import errno
from pathlib import Path

from bus.storage.batch import Batch
from bus.storage.batch_codec import BatchCodec
from bus.storage.cipher import Cipher
from bus.storage.files import FULL, File, FileSystem
from bus.storage.header import HEADER_SIZE, Header
from bus.storage.index import Extent, GrowingIndex
from bus.storage.segment import Segment, SegmentInfo, SegmentTail
from bus.storage.sidecar import SIDECAR_SUFFIX, encode_sidecar, write_sidecar

_ZEROS = memoryview(bytes(256 * 1024))
_EDGE = 16
"""Bytes at either end of a batch that are read back. None are all zeros: a batch begins with its magic and checksum."""

_SHORT = 4096
"""Bytes of a batch that is read back whole: that takes no longer than to read an edge, and there are two."""


class ActiveSegment(Segment):
    """The segment that is appended to.

    Attributes:
        synced: everything before this offset is durable.
    """

    __slots__ = ("_index", "_size", "_written", "synced")

    def __init__(
        self, path: Path, header: Header, file: File, codec: BatchCodec, index: GrowingIndex, extent: Extent
    ) -> None:
        super().__init__(path, header, file, codec, index, extent)
        self._index = index
        self._size = extent.end
        self._written: tuple[tuple[int, bytes], ...] = ()
        self.synced = extent.end

    @classmethod
    def begin(cls, files: FileSystem, path: Path, file: File, header: Header, cipher: Cipher | None) -> ActiveSegment:
        """A new segment in the empty *file*; header and name are durable on return."""
        file.write(0, header.encode())
        file.sync()
        files.sync_directory(path.parent)
        return cls(path, header, file, header.codec(path, cipher), GrowingIndex(), Extent(header.base, HEADER_SIZE))

    @property
    def info(self) -> SegmentInfo:
        """Its listing."""
        return SegmentInfo.of(self.path, self.header, self.extent, active=True)

    def append(self, batch: Batch) -> SegmentTail:
        """Writes *batch* behind the last one; it is durable after the next ``sync``. Returns where it ends."""
        offset = self.tail.end
        data = self.codec.encode(batch, offset=offset, synced=self.synced)
        end = offset + len(data)
        self.file.write(offset, data)
        self._size = max(self._size, end)
        if len(data) <= _SHORT:
            self._written = ((offset, data),)
        else:
            self._written = ((offset, data[:_EDGE]), (end - _EDGE, data[-_EDGE:]))
        self._index.add(batch, offset=offset)
        if batch.client_ids:
            self._index.add_client_ids(batch.client_ids)
        self.tail = SegmentTail(batch.next, end, batch.time)
        return self.tail

    def trim(self) -> None:
        """Cuts off what is behind the last batch: zeros, and what a failed ``append`` may have written."""
        self.file.truncate(self.tail.end)
        self._size = self.tail.end

    def sync(self, *, preallocate: bool = False) -> None:
        """Makes everything appended so far durable; *preallocate* zeros behind it, if there are none left."""
        self._check()
        if preallocate and self._size == self.tail.end:
            self._preallocate()
        self.file.sync()
        self.synced = self.tail.end

    def seal(self) -> None:
        """Makes everything durable, and the file end with it: nothing more is appended."""
        if self._size > self.tail.end or self.synced < self.tail.end:
            self._check()
            self.trim()
            self.file.sync()
            self.synced = self.tail.end

    def write_sidecar(self, files: FileSystem) -> None:
        """Writes the sidecar that vouches for everything up to here, which must be sealed."""
        data = encode_sidecar(self.header, self.extent, self.index)
        write_sidecar(files, self.path.with_suffix(SIDECAR_SUFFIX), data)

    def _check(self) -> None:
        """Raises OSError if the file isn't what was written.

        One that was removed meanwhile would take the events with it. A write that was claimed and not done leaves the
        file too short, or zeros at an end of the last batch.
        """
        state = self.file.state()
        if not state.has_name:
            raise OSError(errno.ENOENT, f"{self.path} was removed while it was written to")
        if state.size != self._size:
            raise OSError(errno.EIO, f"{self.path} has {state.size} bytes where {self._size} were written")
        for offset, written in self._written:
            if self.file.read(offset, len(written)) != written:
                raise OSError(errno.EIO, f"{self.path} has other bytes at {offset} than were written")

    def _preallocate(self) -> None:
        """Writes zeros, as many as there are bytes before them up to a limit, so that small logs stay small.

        A full disk is no failure: the room it has left is for batches.
        """
        zeros = _ZEROS[: self.tail.end]
        try:
            self.file.write(self.tail.end, zeros)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.trim()
        else:
            self._size += len(zeros)
