"""A snapshot: of every subject that a filter takes the newest event, in the order of their indexes.

    index      1 … … … … … … … … … … end … …
    newest         a     c   b        │ c         read from here on: all events
                   ▲     ▲   ▲        │
                   └─────┴───┴── each in its turn, if it is the newest then

A subject's newest event only ever moves on. So one that gets another event before its turn comes is met behind *end*,
where everything is read; nothing that is newer is lost, and what is handed out was the newest after it was asked for.
So a snapshot is no more than an index: whoever has gone as far as some index goes on from there, also after a restart.
The log is read where those events are, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bus.engine.namespace import READ_BYTES, Namespace, Newest
from bus.storage.batch import Batch
from bus.subject import Filter

TURN_SUBJECTS = 256
TURN_READS = 4
"""What one turn looks at: so many subjects, and so many places of the log."""


class SnapshotPiece(NamedTuple):
    """Index and frame of some events, and the index to go on from."""

    events: Sequence[tuple[int, bytes]]
    next: int


class Snapshot:
    """The newest events of *namespace* before the index *end*, as far as *wanted* takes them."""

    def __init__(self, namespace: Namespace, wanted: Filter, *, end: int) -> None:
        self.end = end
        self._namespace = namespace
        self._wanted = wanted
        self._batches: Sequence[Batch] = ()

    def read(self, start: int, *, limit: int | None = None, now: int) -> SnapshotPiece:
        """A turn's work from index *start* on: at most *limit* events, none of them expired by *now* (ns).

        It goes on from *start* if there is nothing to be known as yet: see `await_more`. Raises `StorageError`.
        """
        newest = self._namespace.newest(self._wanted, start, self.end, TURN_SUBJECTS)
        return self._frames(newest, limit, now)

    def await_more(self, then: Callable[[], None]) -> None:
        """Call *then* when more may be known."""
        self._namespace.when_newest_known(then)

    def subjects(self, start: int) -> Newest:
        """Those whose turn is to come from index *start* on, a turn's work of them. Raises `StorageError`."""
        found, following = self._namespace.newest(self._wanted, start, self.end, TURN_SUBJECTS)
        return Newest([subject for subject in found if self._wanted.matches(subject[0])], following)

    def _frames(self, newest: Newest, limit: int | None, now: int) -> SnapshotPiece:
        events: list[tuple[int, bytes]] = []
        size = reads = 0
        for subject, index in newest.subjects:
            if not self._wanted.matches(subject):
                continue
            batch = self._at_hand(index)
            if len(events) == limit or size >= READ_BYTES or (batch is None and reads == TURN_READS):
                return SnapshotPiece(events, index)
            if batch is None:
                batch, reads = self._read(index), reads + 1
            if frame := _frame(batch, index, now):
                events.append((index, frame))
                size += len(frame)
        return SnapshotPiece(events, newest.next)

    def _at_hand(self, index: int) -> Batch | None:
        return next((batch for batch in self._batches if batch.first <= index < batch.next), None)

    def _read(self, index: int) -> Batch | None:
        """The batch with the event at *index*; None if it isn't there any more."""
        self._batches = self._namespace.read(index)
        return self._at_hand(index)

    def forget_read(self) -> None:
        """Read anew what is in memory: some of it was deleted."""
        self._batches = ()

    def __repr__(self) -> str:
        return f"<Snapshot of {self._wanted} before {self.end}>"


def _frame(batch: Batch | None, index: int, now: int) -> bytes:
    """The frame of the event at *index*; empty if it was deleted or has expired."""
    if batch is None or (batch.expires and batch.expires[index - batch.first] <= now):
        return b""
    return batch.frame(index)
