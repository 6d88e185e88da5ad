"""Single events out of the log, as they are wanted again: redelivered, answered, sent back.

A batch is checked, opened and decoded as a whole, and those who want one of its events mostly want its
neighbours next. So what was read last stays at hand, with the offsets of the batch that was used last.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from bus.storage.batch import Batch
from bus.units import NEVER

CHUNKS = 4
"""How many reads of the log are kept: as many consumers may go through old events at once without undoing
each other's work."""


class SingleEvents:
    """Frames by index. *read* reads committed batches from the one that has an index on."""

    def __init__(self, read: Callable[[int], Sequence[Batch]]) -> None:
        self._read = read
        self._chunks: list[Sequence[Batch]] = []
        self._batch: Batch | None = None
        self._offsets: list[int] = []
        self._missing = range(0)

    def at(self, index: int) -> bytes | None:
        """The frame of the event at *index*, None if it can't be read (any more). Raises `StorageError`."""
        batch = self._use(index)
        if batch is None:
            return None
        place = index - batch.first
        return batch.frames[self._offsets[place] : self._offsets[place + 1]]

    def expires(self, index: int) -> int:
        """When the event at *index* expires, in ns; `NEVER` also if it can't be read. Raises `StorageError`."""
        batch = self._use(index)
        return batch.expires[index - batch.first] if batch and batch.expires else NEVER

    def _use(self, index: int) -> Batch | None:
        """The batch with the event at *index*, at hand from now on."""
        batch = self._batch
        if batch is None or not batch.first <= index < batch.next:
            batch = self._find(index)
            if batch is None:
                return None
            self._batch, self._offsets = batch, batch.offsets()
        return batch

    def _find(self, index: int) -> Batch | None:
        for number, chunk in enumerate(self._chunks):
            if chunk[0].first <= index < chunk[-1].next:
                self._chunks.insert(0, self._chunks.pop(number))
                return chunk[bisect_right(chunk, index, key=lambda batch: batch.first) - 1]
        chunk = () if index in self._missing else self._read(index)
        if not chunk:
            return None
        if chunk[0].first > index:
            self._missing = range(index, chunk[0].first)
            return None
        self._chunks = [chunk, *self._chunks[: CHUNKS - 1]]
        return chunk[0]

    def __repr__(self) -> str:
        return f"<SingleEvents {len(self._chunks)} chunks at hand>"
