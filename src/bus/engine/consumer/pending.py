"""Deliveries awaiting an acknowledgement: a state machine without clock, tasks or bytes.

                     ┌──────────── key free ─────────────┐
                     │                                   │
    admit ──▶ HELD (its key is busy)                     │
      │                                                  ▼
      └─────────────────────────────────────────────▶ READY ◀── delay over ── DELAYED
                                                     ▲ │  ▲                      ▲
                                         nobody came │ │  │deadline, connection  │nack with delay
                                                     │ │  │lost, nack            │
                                                     │ ▼  │                      │
        AWAITED ◀── connection lost, last attempt ── IN_FLIGHT ──────────────────┘
           │                                          ▲ │
           └───────────── its worker is back ─────────┘ │
                                                        │ attempts used up, or reject
      ack, expired (from any state) ──▶ gone            ▼
                                                     given up

Assumptions: ``now`` is a monotonic time in seconds and never goes back; an index is admitted once; every
connection has one window, and a worker is one run of one process, whatever connections it has.

1. An event is IN_FLIGHT with one connection, until the deadline of its attempt or what its worker says.
2. An attempt that fails (nack, deadline) counts and makes the event READY again, ahead of events with a higher
   index, unless it was the last attempt: then it is given up, with a reason.
3. An acknowledgement counts in every state, however late, except when another worker has the event.
4. With keys, at most one event of a key is READY, IN_FLIGHT, DELAYED or AWAITED; the others are HELD in order.
5. A connection that is lost leaves what it had in flight READY. Back at the same worker it is the same attempt.
   Handed to another one, the lost attempt counts; if that was the last, the event is given up instead. So that its
   worker has the time to return, an event is AWAITED first for some seconds if its last attempt was lost.
6. If several events were in flight when the connection was lost, nobody knows which one did it: the attempt
   counts for none of them, and each is delivered alone from then on, unless it goes back to the same worker. A
   connection gets such an event when it has nothing else in flight, and nothing else before that is settled.
7. A connection is silent when a delivery times out on it and it said nothing in the second half of that time;
   whatever it says ends that. It gets nothing while another one isn't silent, and else one event at a time of those
   that timed out on it, no new ones. Falling silent with several events in flight is like being lost with them.
8. An attempt that the server itself ends by stopping doesn't count.
9. An event that has expired is settled, instead of delivered, when its turn comes.

A consumer that only ever has one connection goes without 7: there, time-outs are all that ends attempts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush, nsmallest
from typing import Final

from bus.engine.consumer.deadlines import Deadlines
from bus.engine.consumer.deliveries_by_id import DeliveriesById
from bus.engine.consumer.delivery import (
    AWAITED,
    CROWD,
    DELAYED,
    HELD,
    IN_FLIGHT,
    READY,
    SINGLE,
    UNLOST,
    Delivery,
    DeliveryState,
    GivenUp,
    Window,
)
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.key_order import KeyOrder
from bus.engine.consumer.windows import Windows
from bus.errors import NotOwnerError, UnknownEventError
from bus.units import format_duration

LEAST_REDELIVERY: Final = 0.01
"""Seconds an attempt takes at least, or redelivering would be all that the server does."""

RETURN_SECONDS: Final = 2.0
"""How long the worker of a last attempt that was lost is awaited, before somebody else may bring its end."""

RESTART_SECONDS: Final = 10.0
"""The same after a restart of the server, when all workers are on their way back."""


class Pending:
    """The deliveries of one consumer.

    *redelivery* is how long the n-th attempt may take, in seconds, its last element repeating; *limit* is
    the number of attempts in all, 0 or less for no limit; *shared* says that there may be several connections.
    """

    def __init__(self, *, redelivery: Sequence[float], limit: int, shared: bool = True) -> None:
        self.configure(redelivery=redelivery, limit=limit)
        self.windows = Windows()
        self._shared = shared
        self._deliveries: dict[int, Delivery] = {}
        self._by_id = DeliveriesById()
        self._ready: list[int] = []
        self._deadlines = Deadlines(self._deliveries)
        self._key_order = KeyOrder()
        self._awaited: dict[str, list[Delivery]] = {}

    def configure(self, *, redelivery: Sequence[float], limit: int) -> None:
        """Change how long attempts take and how many there are, from the next one on."""
        self.redelivery = tuple(max(seconds, LEAST_REDELIVERY) for seconds in redelivery)
        self._limit = limit

    # -- events come in

    def admit(self, index: int, event_id: str, *, key: str = "") -> Delivery:
        """Take in the event at *index*; with a *key*, behind those of the same key."""
        delivery = Delivery(index, event_id, key=key)
        if self._enter(delivery):
            self._make_ready(delivery)
        return delivery

    def restore(self, kept: KeptDelivery, event_id: str, *, key: str = "", now: float, delay: float) -> None:
        """Take in an event as it was kept over a restart, *delay* seconds before the end of its delay."""
        delivery = kept.delivery(event_id, key)
        if not self._enter(delivery):
            return
        if delay > 0:
            self._set_aside(delivery, DELAYED, now + delay)
        else:
            self._put_down(delivery, now + RESTART_SECONDS)

    def _enter(self, delivery: Delivery) -> bool:
        """Whether it may go on: else it is HELD behind another one of its key."""
        self._deliveries[delivery.index] = delivery
        self._by_id.add(delivery)
        return not delivery.key or self._key_order.enter(delivery)

    # -- events go out

    def hand(self, index: int, event_id: str, window: Window, *, key: str = "", now: float) -> Delivery | None:
        """Take in a new event as `admit` does, and put it in flight at once; None if it is HELD.

        Only when `takes_new` says so.
        """
        delivery = Delivery(index, event_id, key=key)
        if not self._enter(delivery):
            return None
        delivery.attempts = 1
        window.take(delivery, now=now)
        self._allow(delivery, now, self.redelivery[0])
        return delivery

    def deliver(self, window: Window, *, now: float) -> Delivery | GivenUp | None:
        """Put the next event in flight in *window*, or give it up if its last attempt was lost; None for neither.

        That is the READY event with the lowest index, unless it waits for the window to be empty.
        """
        if window.silent or window.alone:
            return self._deliver_again(window, now)
        if self._awaited and window.worker in self._awaited:
            return self._begin(self._awaited[window.worker][0], window, now)
        while self._ready:
            delivery = self._deliveries.get(self._ready[0])
            if delivery and delivery.state is READY:
                if window.flying and (delivery.alone or delivery.loss) and delivery.wants_alone(window):
                    return None
                heappop(self._ready)
                delivery.queued = False
                return self._begin(delivery, window, now)
            heappop(self._ready)
            if delivery:
                delivery.queued = False
        return None

    def takes_new(self, window: Window) -> bool:
        """Whether *window* may be handed new events, when `deliver` finds none that came back."""
        return not (window.silent or window.alone or self._ready)

    @property
    def none_ready(self) -> bool:
        """Whether no event has come back that waits for its turn."""
        return not self._ready

    def _deliver_again(self, window: Window, now: float) -> Delivery | GivenUp | None:
        """What a silent connection gets: nothing while there are others, else one that timed out on it."""
        if self.windows.heard or window.flying:
            return None
        while window.timed_out:
            delivery = self._deliveries.get(heappop(window.timed_out))
            if delivery and delivery.state is READY and delivery.owner is window:
                return self._begin(delivery, window, now)
        return None

    def _begin(self, delivery: Delivery, window: Window, now: float) -> Delivery | GivenUp:
        if not delivery.loss:
            delivery.attempts += 1
        elif not self._take_up(delivery, window):
            return self.give_up(delivery, reason="connection lost")
        window.take(delivery, now=now)
        self._allow(delivery, now, self._patience(delivery))
        return delivery

    def _take_up(self, delivery: Delivery, window: Window) -> bool:
        """Go on where an attempt was lost; False if that was the last one, and another worker's."""
        returned = delivery.returns_to(window)
        if delivery.state is AWAITED:
            self._forget_awaited(delivery)
        if not returned and delivery.loss is CROWD:
            delivery.alone = True
        elif not returned:
            if self._is_last(delivery):
                return False
            delivery.attempts += 1
        if not (returned and window.silent):
            delivery.loss = UNLOST
        return True

    # -- what workers say

    def ack(self, event_id: str, window: Window) -> Delivery:
        """The event is done. Raises `UnknownEventError` or `NotOwnerError`, as all of these do."""
        delivery = self._owned(event_id, window)
        self._remove(delivery)
        return delivery

    def nack(self, event_id: str, window: Window, *, now: float, delay: float, reason: str = "") -> GivenUp | None:
        """The attempt failed: deliver again after *delay* seconds, or give the event up."""
        delivery = self._owned(event_id, window)
        if delivery.state in (HELD, DELAYED):
            return None
        return self._end_attempt(delivery, now=now, delay=delay, reason=reason or "not acknowledged")

    def extend(self, event_id: str, window: Window, *, now: float, delay: float | None) -> None:
        """The worker needs *delay* seconds from now, by default as long as the attempt had at first."""
        delivery = self._owned(event_id, window)
        if delivery.state is IN_FLIGHT:
            self._allow(delivery, now, self._patience(delivery) if delay is None else delay)

    def reject(self, event_id: str, window: Window, *, reason: str) -> GivenUp:
        """The event can't be handled by anyone: give it up."""
        return self.give_up(self._owned(event_id, window), reason=reason or "rejected")

    def give_up(self, delivery: Delivery, *, reason: str) -> GivenUp:
        """Deliver it no more, whatever its state."""
        self._remove(delivery)
        return GivenUp(delivery, reason)

    def settle(self, delivery: Delivery) -> None:
        """It needs no delivery any more, whatever its state."""
        self._remove(delivery)

    def _owned(self, event_id: str, window: Window) -> Delivery:
        delivery = self._by_id.find(event_id, window)
        if delivery is None:
            raise UnknownEventError(f"event {event_id} isn't awaiting an acknowledgement of this consumer")
        if delivery.owner is not window and delivery.state is IN_FLIGHT and not delivery.returns_to(window):
            owner = delivery.owner.owner
            raise NotOwnerError(f"event {event_id} was delivered again to {owner}: it is that one's to settle")
        return delivery

    # -- what time and broken connections do

    def expire(self, *, now: float, most: int) -> list[GivenUp]:
        """End at most so many attempts and delays that are over at *now*; returns what is given up."""
        given_up = []
        for delivery in self._deadlines.take(now=now, most=most):
            if delivery.state is not IN_FLIGHT:
                self._make_ready(delivery)
            elif gone := self._time_out(delivery, delivery.owner, now):
                given_up.append(gone)
        return given_up

    def _time_out(self, delivery: Delivery, window: Window, now: float) -> GivenUp | None:
        if self._shared and window.spoke < delivery.listen:
            self.windows.miss(window)
        gone = None
        if window.silent and (delivery.loss or (window.crowded and not delivery.alone)):
            delivery.loss = CROWD
            self._make_ready(delivery)
        else:
            reason = f"not acknowledged within {format_duration(self._patience(delivery))}"
            gone = self._end_attempt(delivery, now=now, delay=0, reason=reason)
        if window.silent and not gone:
            heappush(window.timed_out, delivery.index)
        return gone

    def release(self, window: Window, *, now: float) -> None:
        """The connection is lost, and with it the attempts it had in flight."""
        loss = window.loss
        for delivery in self.windows.close(window):
            delivery.loss = delivery.loss or loss
            self._put_down(delivery, now + RETURN_SECONDS)

    def recall(self, window: Window) -> None:
        """The server ends the connection: what it had in flight was not attempted."""
        for delivery in self.windows.close(window):
            delivery.attempts -= 0 if delivery.loss else 1
            self._make_ready(delivery)

    def forget_before(self, index: int) -> list[Delivery]:
        """Forget the deliveries before *index*, whose events are gone; returns them."""
        gone = [delivery for delivery in self._deliveries.values() if delivery.index < index]
        for delivery in gone:
            self._remove(delivery)
        return gone

    @property
    def next_due(self) -> float | None:
        """When `expire` has something to do next; it may find then that there is nothing after all."""
        return self._deadlines.next

    # -- how it stands

    @property
    def deadlines(self) -> int:
        """How many times are remembered, some of them for nothing."""
        return len(self._deadlines)

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._by_id

    def index_of(self, event_id: str, window: Window) -> int | None:
        """The index of what *window* means by an id, None if that isn't pending."""
        found = self._by_id.find(event_id, window)
        return found.index if found else None

    def delivered_at(self, event_id: str, window: Window) -> float | None:
        """When the event was delivered that *window* has in flight, None if it has none of this id."""
        found = self._by_id.find(event_id, window)
        return found.since if found and found.owner is window and found.state is IN_FLIGHT else None

    def has(self, index: int) -> bool:
        """Whether the event at *index* is pending."""
        return index in self._deliveries

    def ready(self, most: int) -> Iterator[Delivery]:
        """The first *most* that are ready, in the order of their indexes."""
        found = (self._deliveries.get(index) for index in nsmallest(most, self._ready))
        return (delivery for delivery in found if delivery and delivery.state is READY)

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._deliveries.values())

    def __len__(self) -> int:
        return len(self._deliveries)

    def __repr__(self) -> str:
        return f"<Pending {len(self)} deliveries>"

    # -- steps

    def _is_last(self, delivery: Delivery) -> bool:
        return 0 < self._limit <= delivery.attempts

    def _allow(self, delivery: Delivery, now: float, seconds: float) -> None:
        """The attempt may take so long; in the second half of that its connection should be heard."""
        delivery.listen = now + seconds / 2
        self._deadlines.set(delivery, now + seconds)

    def _patience(self, delivery: Delivery) -> float:
        times = self.redelivery
        return times[delivery.attempts - 1] if 0 < delivery.attempts < len(times) else times[-1]

    def _end_attempt(self, delivery: Delivery, *, now: float, delay: float, reason: str) -> GivenUp | None:
        """The attempt counts."""
        if self._is_last(delivery):
            return self.give_up(delivery, reason=reason)
        delivery.loss = UNLOST
        if delay > 0:
            self._set_aside(delivery, DELAYED, now + delay)
        else:
            self._make_ready(delivery)
        return None

    def _put_down(self, delivery: Delivery, until: float) -> None:
        """Make it READY, or AWAITED *until* then if its last attempt was lost and its worker may return."""
        if delivery.loss is SINGLE and delivery.worker and self._is_last(delivery):
            self._set_aside(delivery, AWAITED, until)
            self._awaited.setdefault(delivery.worker, []).append(delivery)
        else:
            self._make_ready(delivery)

    def _make_ready(self, delivery: Delivery) -> None:
        self._leave(delivery)
        delivery.state = READY
        if not delivery.queued:
            delivery.queued = True
            heappush(self._ready, delivery.index)

    def _set_aside(self, delivery: Delivery, state: DeliveryState, due: float) -> None:
        self._leave(delivery)
        delivery.state = state
        self._deadlines.set(delivery, due)

    def _leave(self, delivery: Delivery) -> None:
        """It is in no window any more, and awaited by nobody."""
        if delivery.state is IN_FLIGHT:
            delivery.owner.let_go(delivery)
        elif delivery.state is AWAITED:
            self._forget_awaited(delivery)

    def _forget_awaited(self, delivery: Delivery) -> None:
        waiting = self._awaited[delivery.worker]
        waiting.remove(delivery)
        if not waiting:
            del self._awaited[delivery.worker]

    def _remove(self, delivery: Delivery) -> None:
        self._leave(delivery)
        del self._deliveries[delivery.index]
        self._by_id.remove(delivery)
        if delivery.key and (following := self._key_order.leave(delivery)):
            self._make_ready(following)
