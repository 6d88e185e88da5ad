"""Handing out: which event goes into whose window next, and how much of that is done in one turn of the loop.

    log ──matching──▶ admit ─▶ Pending ─▶ window with room ─▶ sink
                                  ▲                             │
                                  └── nack, deadline, member gone

A turn ends after so many bytes or events, whoever got them; the member that had its turn goes to the end of
the queue. What a socket can't take stays in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bus.engine.base import MUCH, Gap
from bus.engine.consumer.attempt_frames import made_again, nth_attempt
from bus.engine.consumer.delivery import Delivery, GivenUp, KeptDelivery
from bus.engine.consumer.pending import Pending
from bus.engine.consumer.subscription import ConsumerSubscription
from bus.engine.namespace import Namespace
from bus.engine.reading.log_cursor import LogCursor
from bus.frame import id_of, join_frames, read_frame
from bus.subject import Filter

MOST_PENDING = 10_000
"""Events a consumer may leave unsettled (held behind a key, delayed) before it is given no new ones."""

TURN_BYTES = 256 * 1024
TURN_EVENTS = 512
"""How much is handed out in one turn of the loop, at least one event."""


class HandOut:
    """Takes events of a namespace from *index* on into *pending*, and out of it to members.

    *missed* is told of gaps, *given_up* of events that can't be delivered any more; ``handed`` counts deliveries.
    """

    def __init__(
        self,
        namespace: Namespace,
        pending: Pending,
        wanted: Filter,
        index: int,
        *,
        by_key: bool,
        missed: Callable[[Gap], None],
        given_up: Callable[[GivenUp], None],
    ) -> None:
        self._namespace = namespace
        self._pending = pending
        self.feed = LogCursor(namespace, wanted, index, missed=missed)
        self._by_key = by_key
        self._given_up = given_up
        self.handed = 0

    @property
    def cursor(self) -> int:
        """The index to go on from: everything before is settled or pending."""
        return self.feed.cursor

    @property
    def is_full(self) -> bool:
        """Whether too much is pending to take on more."""
        return len(self._pending) >= MOST_PENDING

    # -- out

    def serve(self, subscriptions: list[ConsumerSubscription], *, now: float) -> bool:
        """Fill windows as far as a turn goes, in the order of *subscriptions*; whether there is more to do."""
        size, events = TURN_BYTES, TURN_EVENTS
        for subscription in list(subscriptions):
            if size <= 0 or events <= 0:
                return True
            room = min(subscription.room, events)
            frames: list[bytes] = []
            while size > 0 and len(frames) < room and (frame := self._next(subscription, now)):
                frames.append(frame)
                size -= len(frame)
            if frames:
                events -= len(frames)
                self._send(subscription, frames)
                subscriptions.remove(subscription)
                subscriptions.append(subscription)
        return size <= 0 or events <= 0

    def _send(self, subscription: ConsumerSubscription, frames: list[bytes]) -> None:
        self.handed += len(frames)
        data = join_frames(frames, subscription.format)
        subscription.sink.write(
            data, made_again(self._namespace, frames, subscription.format) if len(data) > MUCH else None
        )
        subscription.count(len(frames))

    def _next(self, subscription: ConsumerSubscription, now: float) -> bytes:
        """The frame to hand to *subscription* next, with its attempt; empty when there is nothing to hand out."""
        while True:
            fresh = b""
            found = self._pending.deliver(subscription.window, now=now)
            if found is None:
                fresh = self._admit_next(subscription)
                if not fresh:
                    return b""
                found = self._pending.deliver(subscription.window, now=now)
            if isinstance(found, GivenUp):
                self._given_up(found)
            elif found and (frame := self._frame(found, fresh)):
                return nth_attempt(frame, found.attempts)

    def _frame(self, delivery: Delivery, fresh: bytes) -> bytes:
        """The frame of a delivery, *fresh* from the log or read again; else it is given up."""
        frame = fresh or self._namespace.frame(delivery.index) or b""
        if not frame:
            self._given_up(self._pending.give_up(delivery, reason="no longer in the log"))
        return frame

    # -- in

    def _admit_next(self, subscription: ConsumerSubscription) -> bytes:
        """Make the next event of the log pending; empty when there is none at hand that can be now."""
        if self.is_full or not self._pending.takes_new(subscription.window):
            return b""
        found = self.feed.take()
        if found is None:
            return b""
        index, frame = found
        if not subscription.takes(index):
            self.feed.put_back(index, frame)
            return b""
        self._pending.admit(index, id_of(frame), key=self._key_of(frame))
        return frame

    def readmit(self, index: int) -> bool:
        """Deliver the event at *index* again, with attempts counted from 1; False if it isn't in the log."""
        frame = self._namespace.frame(index)
        if frame and not self._pending.has(index):
            self._pending.admit(index, id_of(frame), key=self._key_of(frame))
        return frame is not None

    def restore(self, kept: KeptDelivery, *, now: float, delay: float) -> bool:
        """Take up a delivery where it was; False if its event isn't in the log."""
        frame = self._namespace.frame(kept.index)
        if frame and not self._pending.has(kept.index):
            self._pending.restore(kept, id_of(frame), key=self._key_of(frame), now=now, delay=delay)
        return frame is not None

    def _key_of(self, frame: bytes) -> str:
        return read_frame(frame).key if self._by_key else ""

    def wants_new(self, subscriptions: Iterable[ConsumerSubscription]) -> bool:
        """Whether what was fetched is used up and somebody has room for new events."""
        return (
            self.feed.used_up
            and not self.is_full
            and any(
                subscription.room > 0 and self._pending.takes_new(subscription.window) for subscription in subscriptions
            )
        )

    def fetch(self) -> bool:
        """Read the next chunk of the log; False at its end. Raises `StorageError`."""
        return self.feed.fetch()

    def __repr__(self) -> str:
        return f"<HandOut from {self.cursor} on>"
