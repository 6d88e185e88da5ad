"""Deliveries awaiting an acknowledgement: a state machine without clock, tasks or bytes.

                     ┌──────────── key free ─────────────┐
                     │                                   │
    admit ──▶ HELD (its key is busy)                     │
      │                                                  ▼
      └─────────────────────────────────────────────▶ READY ◀── delay over ── DELAYED
                                                       │  ▲                      ▲
                                                deliver│  │deadline, release,    │nack with delay
                                                       ▼  │nack                  │
                                                     IN_FLIGHT ──────────────────┘
                                                       │
                  ack (from any state) ──▶ gone        │ attempts used up, or reject
                                                       ▼
                                                   given up

Assumptions: ``now`` is a monotonic time in seconds and never goes back; an index is admitted once.

1. An event is IN_FLIGHT with one owner, until the deadline of its attempt or what its owner says.
2. An attempt that ends without an acknowledgement makes the event READY again, ahead of events with a
   higher index, unless it was the last attempt: then it is given up, with a reason.
3. An acknowledgement counts in every state, however late, except when another owner has the event.
4. With keys, at most one event of a key is READY, IN_FLIGHT or DELAYED; the others are HELD in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush

from bus.errors import NotOwnerError, UnknownEventError
from bus.units import format_duration


class State(StrEnum):
    HELD = "held"
    READY = "ready"
    IN_FLIGHT = "in flight"
    DELAYED = "delayed"


@dataclass(slots=True)
class Delivery:
    """An event on its way to being acknowledged. ``since`` is when it was last delivered,
    ``due`` when its state ends by itself."""

    index: int
    event_id: str
    state: State = State.READY
    attempts: int = 0
    owner: str = ""
    key: str = ""
    since: float = 0.0
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An event that will not be delivered again, and why."""

    delivery: Delivery
    reason: str


class Pending:
    """The deliveries of one consumer.

    *redelivery* is how long the n-th attempt may take, in seconds, its last element repeating; *limit* is
    the number of attempts in all, 0 or less for no limit.
    """

    def __init__(self, *, redelivery: Sequence[float], limit: int) -> None:
        self._redelivery = redelivery
        self._limit = limit
        self._deliveries: dict[str, Delivery] = {}
        self._ready: list[tuple[int, str]] = []
        self._timers: list[tuple[float, str]] = []
        self._keys: dict[str, deque[Delivery]] = {}
        self._windows: dict[str, int] = {}

    def configure(self, *, redelivery: Sequence[float], limit: int) -> None:
        """Change how long attempts take and how many there are, from the next one on."""
        self._redelivery = redelivery
        self._limit = limit

    # -- events come in and go out

    def admit(self, index: int, event_id: str, *, key: str = "", attempts: int = 0) -> Delivery:
        """Take in the event at *index*; with a *key*, behind those of the same key."""
        delivery = Delivery(index, event_id, attempts=attempts, key=key)
        self._deliveries[event_id] = delivery
        if key and key in self._keys:
            delivery.state = State.HELD
            self._keys[key].append(delivery)
            return delivery
        if key:
            self._keys[key] = deque()
        self._make_ready(delivery)
        return delivery

    def deliver(self, owner: str, *, now: float) -> Delivery | None:
        """Put the READY event with the lowest index in flight with *owner*; None if there is none."""
        while self._ready:
            delivery = self._deliveries.get(heappop(self._ready)[1])
            if delivery and delivery.state is State.READY:
                delivery.state = State.IN_FLIGHT
                delivery.owner = owner
                delivery.attempts += 1
                delivery.since = now
                self._windows[owner] = self._windows.get(owner, 0) + 1
                self._set_timer(delivery, now + self._patience(delivery))
                return delivery
        return None

    # -- what owners say

    def ack(self, event_id: str, owner: str) -> Delivery:
        """The event is done. Raises `UnknownEventError` or `NotOwnerError`, as all of these do."""
        delivery = self._owned(event_id, owner)
        self._remove(delivery)
        return delivery

    def nack(self, event_id: str, owner: str, *, now: float, delay: float, reason: str = "") -> GivenUp | None:
        """The attempt failed: deliver again after *delay* seconds, or give the event up."""
        delivery = self._owned(event_id, owner)
        if delivery.state in (State.HELD, State.DELAYED):
            return None
        return self._end_attempt(delivery, now=now, delay=delay, reason=reason or "not acknowledged")

    def extend(self, event_id: str, owner: str, *, now: float, delay: float | None) -> None:
        """The owner needs *delay* seconds from now, by default as long as the attempt had at first."""
        delivery = self._owned(event_id, owner)
        if delivery.state is State.IN_FLIGHT:
            self._set_timer(delivery, now + (self._patience(delivery) if delay is None else delay))

    def reject(self, event_id: str, owner: str, *, reason: str) -> GivenUp:
        """The event can't be handled by anyone: give it up."""
        delivery = self._owned(event_id, owner)
        self._remove(delivery)
        return GivenUp(delivery, reason or "rejected")

    # -- what time and broken connections do

    def expire(self, *, now: float) -> list[GivenUp]:
        """End the attempts and delays that are over at *now*; returns what is given up."""
        given_up = []
        while self._timers and self._timers[0][0] <= now:
            due, event_id = heappop(self._timers)
            delivery = self._deliveries.get(event_id)
            if delivery is None or delivery.due != due:
                continue
            if delivery.state is State.DELAYED:
                self._make_ready(delivery)
            elif delivery.state is State.IN_FLIGHT:
                reason = f"not acknowledged within {format_duration(self._patience(delivery))}"
                given_up.append(self._end_attempt(delivery, now=now, delay=0, reason=reason))
        return [gone for gone in given_up if gone]

    def release(self, owner: str, *, now: float) -> list[GivenUp]:
        """The connection of *owner* is gone: end its attempts; returns what is given up."""
        held = [delivery for delivery in self._deliveries.values() if delivery.owner == owner]
        in_flight = [delivery for delivery in held if delivery.state is State.IN_FLIGHT]
        ended = [self._end_attempt(delivery, now=now, delay=0, reason="connection lost") for delivery in in_flight]
        return [gone for gone in ended if gone]

    def forget_before(self, index: int) -> list[Delivery]:
        """Forget the deliveries before *index*, whose events are gone; returns them."""
        gone = [delivery for delivery in self._deliveries.values() if delivery.index < index]
        for delivery in gone:
            self._remove(delivery)
        return gone

    @property
    def next_due(self) -> float | None:
        """When `expire` has something to do next; it may find then that there is nothing after all."""
        return self._timers[0][0] if self._timers else None

    # -- how it stands

    def in_flight(self, owner: str) -> int:
        """How many events *owner* has in flight."""
        return self._windows.get(owner, 0)

    def get(self, event_id: str) -> Delivery | None:
        return self._deliveries.get(event_id)

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._deliveries

    def __iter__(self) -> Iterator[Delivery]:
        return iter(self._deliveries.values())

    def __len__(self) -> int:
        return len(self._deliveries)

    def __repr__(self) -> str:
        return f"<Pending {len(self)} deliveries>"

    # -- steps

    def _owned(self, event_id: str, owner: str) -> Delivery:
        delivery = self._deliveries.get(event_id)
        if delivery is None:
            raise UnknownEventError(f"event {event_id} isn't awaiting an acknowledgement of this consumer")
        if delivery.state is State.IN_FLIGHT and delivery.owner != owner:
            raise NotOwnerError(f"event {event_id} was delivered again to {delivery.owner}: it is that one's to settle")
        return delivery

    def _end_attempt(self, delivery: Delivery, *, now: float, delay: float, reason: str) -> GivenUp | None:
        if 0 < self._limit <= delivery.attempts:
            self._remove(delivery)
            return GivenUp(delivery, reason)
        self._leave_window(delivery)
        if delay > 0:
            delivery.state = State.DELAYED
            self._set_timer(delivery, now + delay)
        else:
            self._make_ready(delivery)
        return None

    def _make_ready(self, delivery: Delivery) -> None:
        delivery.state = State.READY
        heappush(self._ready, (delivery.index, delivery.event_id))

    def _set_timer(self, delivery: Delivery, due: float) -> None:
        delivery.due = due
        heappush(self._timers, (due, delivery.event_id))

    def _patience(self, delivery: Delivery) -> float:
        return self._redelivery[min(max(delivery.attempts, 1), len(self._redelivery)) - 1]

    def _leave_window(self, delivery: Delivery) -> None:
        if delivery.state is State.IN_FLIGHT:
            self._windows[delivery.owner] -= 1
            if not self._windows[delivery.owner]:
                del self._windows[delivery.owner]

    def _remove(self, delivery: Delivery) -> None:
        self._leave_window(delivery)
        del self._deliveries[delivery.event_id]
        if delivery.key:
            self._free_key(delivery)

    def _free_key(self, delivery: Delivery) -> None:
        """Let the next event of the key go, or forget the key; a HELD event only leaves its queue."""
        queue = self._keys[delivery.key]
        if delivery.state is State.HELD:
            queue.remove(delivery)
        elif queue:
            self._make_ready(queue.popleft())
        else:
            del self._keys[delivery.key]
