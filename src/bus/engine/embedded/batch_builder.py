"""Batches in the making: events that wait for the commit under way to finish.

Events are encoded as they come, with the index they will have: one commit is under way at a time and
is followed by this one, so the next index is known. Should a commit fail, all that gathered behind it
is refused too, and the indexes are given out anew.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from bus.engine.base import Publisher
from bus.engine.checked_draft import CheckedDraft, Key
from bus.engine.guard import as_bus_error
from bus.errors import BusError
from bus.event import Receipt, index_in
from bus.frame import encode_frame
from bus.storage.batch import Batch, narrow
from bus.units import NEVER, format_time
from bus.wire import Durability

BATCH_BYTES = 256 * 1024
"""Frames after which a new batch is begun, so that reading one stays cheap."""

BATCH_EVENTS = 16_384


class BatchBuilder:
    """One batch in the making, with the publishers who wait for it and the keys they claimed.

    *first* and *time* (ns) continue what is before it; *durability* is what storing it means; *make_id* makes the ids
    of events that bring none, *hash_id* the hashes that ids of others are found by.
    """

    __slots__ = (
        "_core", "_expires", "_hash_id", "_known", "_lasts", "_make_id", "_subjects",
        "claimed", "client_ids", "durability", "first", "frames", "size", "time", "waiters",
    )  # fmt: skip

    def __init__(
        self,
        first: int,
        time: int,
        *,
        durability: Durability,
        make_id: Callable[[int], str],
        hash_id: Callable[[bytes], int],
    ) -> None:
        self.durability = durability
        self.first = first
        self.time = time
        self.frames: list[bytes] = []
        self.size = 0
        self.client_ids: list[tuple[int, int]] = []
        self.claimed: dict[Key, Receipt] = {}
        self.waiters: list[tuple[Publisher, list[Receipt]]] = []
        self._subjects: list[bytes] = []
        self._expires: dict[int, int] = {}
        self._lasts: dict[bytes, int] = {}
        self._known = 0
        self._core = True
        self._make_id = make_id
        self._hash_id = hash_id

    def add(self, events: Sequence[CheckedDraft], publisher: Publisher, *, now: int) -> int:
        """Encode events at the end of the batch, for *publisher*; returns their bytes. *now* is in ns."""
        frames, subjects, make_id, before = self.frames, self._subjects, self._make_id, self.size
        index, time, created_at = self.first + len(frames), -1, ""
        receipts: list[Receipt] = []
        for event in events:
            if event.time != time:
                time, created_at = event.time, format_time(event.time)
                self.time = max(self.time, min(time, now))
            event_id = event.event_id or make_id(index)
            frame = encode_frame(event_id, event.subject, event.payload, created_at, index, event.extra)
            frames.append(frame)
            subjects.append(event.subject)
            receipts.append(receipt := Receipt(event_id, created_at, index))
            if event.event_id or event.extra or event.expires is not None:
                self._note(event, receipt)
            self.size += len(frame)
            index += 1
        self.waiters.append((publisher, receipts))
        return self.size - before

    def _note(self, event: CheckedDraft, receipt: Receipt) -> None:
        """Remember what isn't said of every event: a key, an id of its publisher's, an end, younger fields."""
        self._core = self._core and event.core
        if event.key:
            self.claimed[event.key] = receipt
        if event.event_id and index_in(event.event_id) != receipt.index:
            self.client_ids.append((self._hash_id(event.event_id.encode()), receipt.index))
        if event.expires is not None:
            self._expires[receipt.index] = event.expires

    def answer(self, failure: BusError | None = None) -> None:
        """Tell everyone who waits for this batch, once; if telling one fails, it is told that."""
        waiters, self.waiters = self.waiters, []
        for publisher, receipts in waiters:
            try:
                if failure:
                    publisher.failed(failure)
                else:
                    publisher.stored(receipts, self.durability)
            except Exception as error:
                apologise(publisher, as_bus_error(error, "answering a publisher"))

    @property
    def next(self) -> int:
        return self.first + len(self.frames)

    def last_of(self, subject: bytes) -> int:
        """The index of its last event on *subject*, 0 if there is none.

        Subjects are sorted out when somebody asks, those that were added since the last time.
        """
        since, self._known = self._known, len(self._subjects)
        self._lasts.update(zip(self._subjects[since:], count(self.first + since), strict=False))
        return self._lasts.get(subject, 0)

    def build(self) -> Batch:
        """The finished batch."""
        subjects = tuple(dict.fromkeys(self._subjects))
        end = self.first + len(self.frames)
        return Batch(
            first=self.first,
            next=end,
            time=self.time,
            frames=b"".join(self.frames),
            lengths=array("I", map(len, self.frames)),
            subjects=subjects,
            which=self._which(subjects) if len(subjects) > 1 else b"",
            keyed=bool(self.claimed),
            client_ids=tuple(self.client_ids),
            expires=dense_expiries(self._expires, self.first, end) if self._expires else (),
            core=self._core,
        )

    def _which(self, subjects: Sequence[bytes]) -> bytes | array[int]:
        """For each event which of *subjects* it has."""
        numbers = dict(zip(subjects, count(), strict=False))
        return narrow(map(numbers.__getitem__, self._subjects), len(subjects))

    def __repr__(self) -> str:
        return f"<BatchBuilder {len(self.frames)} events from {self.first}, {self.size} bytes>"


def dense_expiries(expires: Mapping[int, int], first: int, end: int) -> array[int]:
    """``Batch.expires`` of the events from *first* on and before *end*, given by index for those that expire."""
    return array("q", [expires.get(index, NEVER) for index in range(first, end)])


def apologise(publisher: Publisher, error: BusError) -> None:
    """Tell a publisher of a mistake; if that fails as well, nothing else can be done for it."""
    try:
        publisher.failed(error)
    except Exception as again:
        as_bus_error(again, "telling a publisher of a mistake")
