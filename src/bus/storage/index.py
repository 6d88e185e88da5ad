"""Finding a batch of a segment without reading the segment.

The index is sparse: it has an entry for the first batch of every stretch of at least 16 KiB, in columns,

     firsts    index of the first event in the stretch     u64
     offsets   where the stretch begins in the file        u64
     times     time of its first batch                     i64
     keyed     1 if a batch in it carries a duplicate key  u8

so a search is a bisection of a column and then the headers of one stretch. Beside the columns stands what
finds the events whose id doesn't carry their index: a digest of the id, and the index of the event.

The appender adds while readers search: ``firsts`` is what they bisect, and an entry gets there last.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from bus.storage.batch import Batch
from bus.storage.batch_codec import BatchHead
from bus.storage.header import HEADER_SIZE

STRETCH = 16 * 1024


class Stretch(NamedTuple):
    """A run of batches: the index of its first event and of the one after its last, and where it is."""

    first: int
    next: int
    offset: int
    end: int


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a segment reaches, and what is in it.

    Parameters:
        next: index of the event after its last.
        end: offset of the byte after its last batch.
        first_time, last_time: time of its first and last batch, in nanoseconds since the epoch.
        keyed: how many stretches have a batch with a duplicate key.
        client_ids: how many events have an id that doesn't carry their index.
    """

    next: int
    end: int
    first_time: int = 0
    last_time: int = 0
    keyed: int = 0
    client_ids: int = 0


class ClientIds(Protocol):
    """The events whose id doesn't carry their index."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def find(self, id_hash: int) -> list[int]:
        """Indexes of the events with this digest of the id, newest first."""
        ...

    def pairs(self) -> list[tuple[int, int]]:
        """All of (digest, index), sorted."""
        ...


class ClientIdMap:
    """The client-supplied ids of a segment that still grows, in memory."""

    __slots__ = ("_count", "_indexes")

    def __init__(self) -> None:
        self._count = 0
        self._indexes: dict[int, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return self._count

    def add(self, pairs: tuple[tuple[int, int], ...] | list[tuple[int, int]]) -> None:
        """Takes in (digest, index) pairs, in the order of their indexes."""
        self._count += len(pairs)
        for id_hash, index in pairs:
            self._indexes[id_hash] = (index, *self._indexes.get(id_hash, ()))

    def find(self, id_hash: int) -> list[int]:
        return list(self._indexes.get(id_hash, ()))

    def pairs(self) -> list[tuple[int, int]]:
        return sorted((id_hash, index) for id_hash, found in self._indexes.items() for index in found)


class Index:
    """The sparse index of one segment."""

    __slots__ = ("client_ids", "firsts", "keyed", "offsets", "times")

    def __init__(self, client_ids: ClientIds) -> None:
        self.firsts = array("Q")
        self.offsets = array("Q")
        self.times = array("q")
        self.keyed = bytearray()
        self.client_ids = client_ids

    def find(self, index: int) -> int:
        """The number of the stretch that has the event *index*; -1 if damage before the first one has it."""
        return bisect_right(self.firsts, index) - 1

    def find_time(self, time: int) -> int:
        """The number of the stretch in which, or right behind which, the first batch of *time* or later is."""
        return bisect_left(self.times, time, hi=len(self.firsts)) - 1

    def keyed_stretches(self) -> list[int]:
        """The numbers of the stretches that have a batch with a duplicate key, newest first."""
        return [number for number in range(len(self.firsts) - 1, -1, -1) if self.keyed[number]]

    def extent(self, *, next: int, end: int, last_time: int) -> Extent:
        """The extent of a segment with this index."""
        first_time = self.times[0] if self.times else 0
        return Extent(next, end, first_time, last_time, self.keyed.count(1), len(self.client_ids))

    def stretch(self, number: int, *, base: int, next: int, end: int) -> Stretch:
        """The stretch *number*; -1 is what there may be between the header and the first batch.

        The segment begins with the event *base*, its batches end before the event *next* at offset *end*.
        """
        first, offset = (self.firsts[number], self.offsets[number]) if number >= 0 else (base, HEADER_SIZE)
        if number + 1 < len(self.firsts):
            next, end = self.firsts[number + 1], self.offsets[number + 1]
        return Stretch(first, next, offset, end)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.firsts)} stretches)"


class GrowingIndex(Index):
    """The index of a segment that is being written or scanned."""

    __slots__ = ("_map",)

    def __init__(self) -> None:
        self._map = ClientIdMap()
        super().__init__(self._map)

    def add(self, batch: Batch | BatchHead, *, offset: int) -> None:
        """Takes in the batch at *offset*, which follows all that were added."""
        if not self.offsets or offset - self.offsets[-1] >= STRETCH:
            self.offsets.append(offset)
            self.times.append(batch.time)
            self.keyed.append(batch.keyed)
            self.firsts.append(batch.first)
        elif batch.keyed:
            self.keyed[-1] = 1

    def add_client_ids(self, pairs: tuple[tuple[int, int], ...] | list[tuple[int, int]]) -> None:
        """Takes in the (digest, index) pairs of a batch."""
        self._map.add(pairs)
