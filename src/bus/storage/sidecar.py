"""The sidecar: the index of a segment on disk, and how far the segment is known to be good.

A sidecar is a cache. Whatever is in it is computed from the segment, and if it is missing, damaged, or of
another segment, it is computed again. What it adds is its word: it is written only after the segment was
synced, so the first ``covered`` bytes of the segment were durable. Opening does not scan those again, and
if they are gone, that is damage and no crash.

               0          8     10    12        28      36      44         52           60          68
               +----------+-----+-----+---------+-------+-------+----------+------------+-----------+
               | magic    | ver | 0   | salt    | base  | next  | covered  | first time | last time |
               |"bus.idx\\n"| u16 | u16 | 16      | u64   | u64   | u64      | i64        | i64       |
               +----------+-----+-----+---------+-------+-------+----------+------------+-----------+
               68        72        76        80        84        88      92
               +---------+---------+---------+---------+---------+-------+
               | keyed   |   ids   | entries | crc of  | crc of  | crc   |   u32 each; the last one is
               | entries | m       | n       | entries |   ids   |       |   of all that is before it
               +---------+---------+---------+---------+---------+-------+
     entries   | firsts u64 * n | offsets u64 * n | times i64 * n | keyed u8 * n |      index.py
               +----------------+-----------------+---------------+--------------+
     ids       | digests u64 * m, sorted          | indexes u64 * m              |
               +----------------------------------+------------------------------+

Salt and base must be those of the segment. The digests are keyed if the log is encrypted (``cipher.py``).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import overload

from crc32c import crc32c

from bus.storage.files import File, FileSystem
from bus.storage.header import Header, refuse_version
from bus.storage.index import Extent, GrowingIndex, Index

SIDECAR_VERSION = 1
SIDECAR_SUFFIX = ".idx"
TEMPORARY = ".tmp"
_MAGIC = b"bus.idx\n"
_FIELDS = Struct("<8sHH16sQQQqqIIIII")
_ENTRY = 8 + 8 + 8 + 1
_PAIR = 8 + 8
_CHUNK = 1 << 20
SIDECAR_SIZE = _FIELDS.size + 4


@dataclass(frozen=True, slots=True)
class Sidecar:
    """The header of a sidecar: what it vouches for, and what stands behind it."""

    extent: Extent
    entries: int
    entries_crc: int
    client_ids_crc: int

    def load(self, file: File) -> Index | None:
        """The index in *file*, with the client-supplied ids left on disk; None if it is damaged."""
        columns = _read(file, SIDECAR_SIZE, self.entries * _ENTRY, self.entries_crc)
        if columns is None:
            return None
        index = Index(ClientIdTable(file, SIDECAR_SIZE + len(columns), self.extent.client_ids))
        _fill(index, columns, self.entries)
        return index if self._client_ids_intact(file) else None

    def load_growing(self, file: File) -> GrowingIndex | None:
        """The index in *file*, all in memory so that it can grow; None if it is damaged."""
        stored = self.load(file)
        if stored is None:
            return None
        index = GrowingIndex()
        index.firsts, index.offsets, index.times = stored.firsts, stored.offsets, stored.times
        index.keyed = stored.keyed
        if self.extent.client_ids:
            index.add_client_ids(sorted(stored.client_ids.pairs(), key=lambda pair: pair[1]))
        return index

    def _client_ids_intact(self, file: File) -> bool:
        at, left, crc = SIDECAR_SIZE + self.entries * _ENTRY, self.extent.client_ids * _PAIR, 0
        while left and (data := file.read(at, min(left, _CHUNK))):
            crc, at, left = crc32c(data, crc), at + len(data), left - len(data)
        return not left and crc == self.client_ids_crc


class ClientIdTable:
    """The client-supplied ids of a segment in its sidecar, bisected where they are."""

    __slots__ = ("_digests", "_indexes")

    def __init__(self, file: File, offset: int, count: int) -> None:
        self._digests = IndexColumn(file, offset, count)
        self._indexes = IndexColumn(file, offset + 8 * count, count)

    def find(self, id_hash: int) -> list[int]:
        start = bisect_left(self._digests, id_hash)
        stop = bisect_right(self._digests, id_hash, lo=start)
        return sorted(self._indexes[start:stop], reverse=True)

    def __len__(self) -> int:
        return len(self._digests)

    def pairs(self) -> list[tuple[int, int]]:
        return list(zip(self._digests[:], self._indexes[:], strict=True))


class IndexColumn(Sequence[int]):
    """Numbers of 64 bits in a file, read one by one as they are asked for."""

    __slots__ = ("_count", "_file", "_offset")

    def __init__(self, file: File, offset: int, count: int) -> None:
        self._file = file
        self._offset = offset
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> int: ...
    @overload
    def __getitem__(self, place: slice) -> array[int]: ...
    def __getitem__(self, place: int | slice) -> int | array[int]:
        if isinstance(place, int):
            return int.from_bytes(self._file.read(self._offset + 8 * place, 8), "little")
        start, stop, _ = place.indices(self._count)
        return array("Q", self._file.read(self._offset + 8 * start, 8 * (stop - start)))


def read_sidecar(path: Path, file: File, header: Header | None) -> Sidecar | None:
    """What the sidecar *file* says of the segment with *header*, or of a lost one if there is no header.

    Returns:
        None if it is damaged or of another segment. LogVersionError if it is of another version.
    """
    data = file.read(0, SIDECAR_SIZE)
    if len(data) < SIDECAR_SIZE or crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    refuse_version(path, data, _MAGIC, SIDECAR_VERSION)
    magic, _, _, salt, base, *numbers = _FIELDS.unpack_from(data)
    if magic != _MAGIC or (header and (salt, base) != (header.salt, header.base)):
        return None
    return Sidecar(Extent(*numbers[:6]), *numbers[6:])


def encode_sidecar(header: Header, extent: Extent, index: Index) -> bytes:
    """The bytes of the sidecar of a segment: the same for the same segment, always."""
    columns = (index.firsts.tobytes(), index.offsets.tobytes(), index.times.tobytes(), bytes(index.keyed))
    entries, pairs = b"".join(columns), index.client_ids.pairs()
    client_ids = array("Q", [pair[0] for pair in pairs]) + array("Q", [pair[1] for pair in pairs])
    fields = _FIELDS.pack(
        _MAGIC, SIDECAR_VERSION, 0, header.salt, header.base, extent.next, extent.end, extent.first_time,
        extent.last_time, extent.keyed, extent.client_ids, len(index.firsts), crc32c(entries),
        crc32c(client_ids.tobytes()),
    )  # fmt: skip
    return b"".join((fields, crc32c(fields).to_bytes(4, "little"), entries, client_ids.tobytes()))


def write_sidecar(files: FileSystem, path: Path, data: bytes) -> None:
    """Puts the sidecar *data* at *path*, in one step for whoever reads it at the same time."""
    temporary = path.with_suffix(SIDECAR_SUFFIX + TEMPORARY)
    with suppress(FileNotFoundError):
        files.remove(temporary)
    file = files.create(temporary)
    try:
        file.write(0, data)
        file.sync()
    finally:
        file.close()
    files.rename(temporary, path)
    files.sync_directory(path.parent)


def _read(file: File, offset: int, size: int, crc: int) -> bytes | None:
    data = file.read(offset, size)
    return data if len(data) == size and crc32c(data) == crc else None


def _fill(index: Index, columns: bytes, count: int) -> None:
    index.firsts.frombytes(columns[: 8 * count])
    index.offsets.frombytes(columns[8 * count : 16 * count])
    index.times.frombytes(columns[16 * count : 24 * count])
    index.keyed += columns[24 * count :]
