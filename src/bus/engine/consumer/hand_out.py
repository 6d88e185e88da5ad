"""Handing out: which event goes into whose window next, and how much of that is done in one turn of the loop.

    log ──matching──▶ admit ─▶ Pending ─▶ window with room ─▶ sink
                                  ▲                             │
                                  └── nack, deadline, member gone

A turn ends after so many bytes or events, whoever got them, or reads of the log for what came back; the member that had
its turn goes to the end of the queue. What a socket can't take stays in the log.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Iterable
from typing import Final

from bus.engine.base import MUCH
from bus.engine.consumer.attempt_frames import first_attempt, made_again, nth_attempt
from bus.engine.consumer.delivery import Delivery, GivenUp
from bus.engine.consumer.feed import Feed
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.pending import Pending
from bus.engine.consumer.subscription import ConsumerSubscription
from bus.engine.namespace import Namespace
from bus.frame import id_of, join_frames, read_frame
from bus.subject import Filter

MOST_PENDING: Final = 10_000
"""Events a consumer may leave unsettled (held behind a key, delayed) before it is given no new ones."""

TURN_BYTES: Final = 256 * 1024
TURN_EVENTS: Final = 512
"""How much is handed out in one turn of the loop, at least one event."""

TURN_READS: Final = 1
"""How often the log is read in one turn for events that came back: the largest batch takes some milliseconds to
decrypt, and may have a single one of them."""


class HandOut:
    """Takes the events of *feed*, which are of a namespace, into *pending*, and out of it to members.

    *given_up* is told of events that can't be delivered any more; ``handed`` counts deliveries,
    ``handed_again`` those of events that came back.
    """

    def __init__(
        self,
        namespace: Namespace,
        pending: Pending,
        wanted: Filter,
        feed: Feed,
        *,
        by_key: bool,
        given_up: Callable[[GivenUp], None],
    ) -> None:
        self._namespace = namespace
        self._pending = pending
        self._wanted = wanted
        self.feed = feed
        self._by_key = by_key
        self._given_up = given_up
        self.handed = self.handed_again = 0
        self._reads_until = 0

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
        self._reads_until = self._namespace.reads + TURN_READS
        for subscription in list(subscriptions):
            if size <= 0 or events <= 0 or self._namespace.reads >= self._reads_until:
                return True
            frames = self._fill(subscription, min(subscription.room, events), size, now)
            size -= sum(map(len, frames))
            if frames:
                events -= len(frames)
                self._send(subscription, frames)
                subscriptions.remove(subscription)
                subscriptions.append(subscription)
        return size <= 0 or events <= 0 or self._namespace.reads >= self._reads_until

    def _send(self, subscription: ConsumerSubscription, frames: list[bytes]) -> None:
        self.handed += len(frames)
        self._namespace.live.delivered += len(frames)
        data = join_frames(frames, subscription.format)
        is_kept = len(data) <= MUCH or self._namespace.reads_later
        again = None if is_kept else made_again(self._namespace, frames, subscription.format)
        subscription.sink.write(data, again)
        subscription.count(len(frames))

    def _fill(self, subscription: ConsumerSubscription, room: int, size: int, now: float) -> list[bytes]:
        """The frames for *room* deliveries, or about *size* bytes of them: those that came back, then new ones."""
        frames: list[bytes] = []
        while len(frames) < room and size > 0 and (frame := self._returned(subscription, now)):
            frames.append(frame)
            size -= len(frame)
        if len(frames) < room and size > 0 and self._pending.takes_new(subscription.window):
            self._add_new(frames, subscription, room, size, now)
        return frames

    def _returned(self, subscription: ConsumerSubscription, now: float) -> bytes:
        """The next of the deliveries that are ready, with its attempt; empty when there is none for *subscription*."""
        window = subscription.window
        while self._namespace.reads < self._reads_until and (found := self._pending.deliver(window, now=now)):
            if isinstance(found, GivenUp):
                self._given_up(found)
            elif frame := self._frame(found):
                self.handed_again += 1
                return nth_attempt(frame, found.attempts, subscription.format)
            else:  # that it said nothing of what isn't there any more is no silence
                self._pending.windows.hear(window, now=now)
        return b""

    def _add_new(
        self, frames: list[bytes], subscription: ConsumerSubscription, room: int, size: int, now: float
    ) -> None:
        """Add new events of those that were fetched to *frames*, as far as they may be handed out now."""
        feed, hand, window, until = self.feed, self._pending.hand, subscription.window, subscription.until
        form = subscription.format
        left = MOST_PENDING - len(self._pending)
        while len(frames) < room and size > 0 and left > 0 and (found := feed.take()):
            index, frame = found
            if until is not None and index >= until:
                feed.put_back(index, frame)
                return
            left -= 1
            if hand(index, id_of(frame), window, key=self._key_of(frame) if self._by_key else "", now=now):
                frames.append(first_attempt(frame, form))
                size -= len(frame)

    def _frame(self, delivery: Delivery) -> bytes:
        """The frame of a delivery that came back, empty if there is nothing to be delivered any more.

        It is settled if its event has expired or was deleted, and given up if that is no longer in the log.
        """
        frame = b"" if self._namespace.is_expired(delivery.index) else self._namespace.frame(delivery.index)
        if frame is None:
            self._given_up(self._pending.give_up(delivery, reason="no longer in the log"))
        elif not frame:
            self._pending.settle(delivery)
        return frame or b""

    # -- in

    def readmit(self, index: int) -> bool:
        """Deliver the event at *index* again, with attempts counted from 1; False if it is gone or has expired.

        One that is yet to be read is delivered then.
        """
        frame = None if self._namespace.is_expired(index) else self._namespace.frame(index)
        if frame and not self._pending.has(index) and not self._is_to_come(index, frame):
            self._pending.admit(index, id_of(frame), key=self._key_of(frame))
        return bool(frame)

    def restore(self, kept: KeptDelivery, *, now: float, delay: float) -> bool:
        """Take up a delivery where it was, unless it is yet to be read or was deleted; False if it isn't in the log."""
        frame = self._namespace.frame(kept.index)
        if frame and not self._pending.has(kept.index) and not self._is_to_come(kept.index, frame):
            self._pending.restore(kept, id_of(frame), key=self._key_of(frame), now=now, delay=delay)
        return frame is not None

    def _is_to_come(self, index: int, frame: bytes) -> bool:
        """Whether the event is yet to be read, after a move; a letter among dead ones never is."""
        return index >= self.cursor and self._wanted.matches(read_frame(frame).subject.encode())

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

    @property
    def is_at_end(self) -> bool:
        """Whether the log has no more to be fetched."""
        return self.feed.is_at_end

    def bring(self, subscriptions: Iterable[ConsumerSubscription]) -> Future[None] | None:
        """What to wait for before the next turn, where events have to be fetched: those that came back, then new."""
        for delivery in self._pending.ready(TURN_EVENTS):
            if coming := self._namespace.bring(delivery.index):
                return coming
        if self.is_at_end or not self.wants_new(subscriptions):
            return None
        return self.feed.bring()

    def fetch(self) -> None:
        """Read the next chunk of the log. Raises `StorageError`."""
        self.feed.fetch()

    def __repr__(self) -> str:
        return f"<HandOut from {self.cursor} on>"
