"""The batches committed last, kept in memory for those who read at the tail."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from bus.storage.batch import Batch


class TailCache:
    """Batches in order and without a hole, the oldest dropped when they hold more than *capacity* bytes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._batches: list[Batch] = []
        self._firsts: list[int] = []
        self._size = 0

    def extend(self, batches: Sequence[Batch]) -> None:
        for batch in batches:
            self._batches.append(batch)
            self._firsts.append(batch.first)
            self._size += len(batch.frames)
        if self._size > 2 * self._capacity:
            self._trim()

    def _trim(self) -> None:
        """Drop the oldest until the capacity is kept; done rarely, because it moves the rest."""
        kept = len(self._batches)
        size = 0
        while kept and size < self._capacity:
            kept -= 1
            size += len(self._batches[kept].frames)
        del self._batches[:kept], self._firsts[:kept]
        self._size = size

    def read(self, index: int, limit: int, most: int) -> Sequence[Batch]:
        """Batches from the one that holds *index* on, about *limit* bytes and at most *most*; none if it isn't here."""
        place = bisect_right(self._firsts, index) - 1
        if place < 0 or index >= self._batches[-1].next:
            return ()
        found: list[Batch] = []
        while place < len(self._batches) and limit > 0 and len(found) < most:
            found.append(self._batches[place])
            limit -= len(self._batches[place].frames)
            place += 1
        return found

    def __repr__(self) -> str:
        return f"<TailCache {len(self._batches)} batches, {self._size} bytes>"
