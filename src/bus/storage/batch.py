"""Batches: events that are appended, checked, encrypted and recovered as one.

How one is stored is in ``batch_codec``.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate

import msgspec

MAX_SUBJECTS = 65_535
MOST_RUN = 16_384
"""Deleted events in a batch that has nothing else: in memory each takes 4 bytes."""

NO_SUBJECT = b""
"""The subject of a deleted event."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Events that were appended together, all or none.

    Parameters:
        first: index of the first event; indexes count 1, 2, 3 … over the whole log without holes.
        next: index of the event after the last.
        time: nanoseconds since the epoch, the latest time of any event up to this batch.
        frames: the events as they go out, one after the other.
        lengths: the length of each frame in bytes, as ``array("I")``.
        subjects: the distinct subjects in order of first appearance.
        which: for each event which of ``subjects`` it has: empty if there is only one, bytes up to 256,
            ``array("H")`` beyond.
        keyed: some event carries a duplicate key.
        client_ids: (digest of the id, index) of each event whose id doesn't carry its index.
        expires: for each event when it expires, nanoseconds since the epoch, as ``array("q")``; `bus.units.NEVER` for
            those without a time to live, and empty if that is all of them.
        core: no frame has a field that isn't among the core ones, as far as that is known.
    """

    first: int
    next: int
    time: int
    frames: bytes
    lengths: array[int]
    subjects: tuple[bytes, ...]
    which: bytes | array[int]
    keyed: bool
    client_ids: tuple[tuple[int, int], ...] = ()
    expires: array[int] | tuple[()] = ()
    core: bool = False

    @property
    def count(self) -> int:
        """How many events."""
        return self.next - self.first

    @property
    def last(self) -> int:
        """Index of the last event."""
        return self.next - 1

    def offsets(self) -> list[int]:
        """Where each frame begins in ``frames``, and as the last number where they end."""
        return list(accumulate(self.lengths, initial=0))

    def frame(self, index: int) -> bytes:
        """The frame of the event *index*; IndexError if the batch doesn't have it."""
        place = index - self.first
        if not 0 <= place < len(self.lengths):
            raise IndexError(f"event {index} is not among {self.first} to {self.last}")
        start = sum(self.lengths[:place])
        return self.frames[start : start + self.lengths[place]]

    def subject(self, index: int) -> bytes:
        """The subject of the event *index*."""
        return self.subjects[self.which[index - self.first] if self.which else 0]

    @property
    def is_run(self) -> bool:
        """Whether all of its events are deleted."""
        return not self.frames and self.subjects == (NO_SUBJECT,)

    def has_expired(self, now: int) -> bool:
        """Whether some event of it has expired by *now* (ns)."""
        return bool(self.expires) and min(self.expires) <= now

    def __repr__(self) -> str:
        return f"Batch({self.first} to {self.last}, {len(self.frames)} bytes, subjects={len(self.subjects)})"


def narrow(which: Iterable[int], subjects: int) -> bytes | array[int]:
    """``Batch.which`` in its narrowest form: nothing for one subject, else a byte or two bytes per event."""
    if subjects == 1:
        return b""
    return bytes(which) if subjects <= 256 else array("H", which)


def run(first: int, time: int, count: int) -> Batch:
    """*count* deleted events from the index *first* on."""
    return Batch(first, first + count, time, b"", array("I", bytes(4 * count)), (NO_SUBJECT,), b"", keyed=False)
