"""Which events of a durable consumer are this server's to hand out, and for how long.

    delivered by JetStream ─▶ leased ──┬─ acknowledged, given up ─▶ settled: nobody gets it again
                               │  ▲    └─ given back ─▶ delivered again, here or elsewhere
                               └──┘
                        extended each few seconds

JetStream holds the lease, and gives an event to another server if it isn't extended within `LEASE_SECONDS`. What is
said of a lease is said again until JetStream confirms it. A lease that may have run out is lost: an acknowledgement
still counts, but nothing else is said, for the event may be another server's by now, which a late word would take
it from.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bus.engine.base import Settled
from bus.engine.jetstream.error_mapping import not_reached
from bus.nats import ACK, EXTEND, REJECT, Delivery, JetStream, Message, NatsError, Settlement, nack

log = logging.getLogger("bus.engine")

LEASE_SECONDS = 10.0
EXTEND_SECONDS = 3.0
"""How long a lease is, and how often it is extended."""

TRY_SECONDS = 2.0
PAUSE = 0.1
PATIENCE = 15.0
"""How long a word to JetStream may take before it is said again, the seconds between, and those in all."""


@dataclass(slots=True, eq=False)
class Lease:
    """An event that is this server's until a time of the loop's clock, unless it ``is_done``, or goes back.

    ``delivered`` is how often JetStream delivered it, ``source`` which message it came with.
    """

    index: int
    reply: str
    delivered: int
    source: str
    until: float
    is_done: bool = False
    is_back: bool = False

    def take(self, delivery: Delivery, *, now: float) -> None:
        """JetStream delivered it here once more."""
        self.reply, self.delivered, self.until = delivery.reply, delivery.attempt, now + LEASE_SECONDS


class Leases:
    """The leases of one durable consumer at this server, by the index of the event.

    They are ``in_doubt`` while one of them wasn't extended when it should have been.
    """

    def __init__(self, jetstream: JetStream, loop: AbstractEventLoop) -> None:
        self._jetstream = jetstream
        self._loop = loop
        self._leases: dict[int, Lease] = {}
        self.in_doubt = False
        self._timer: TimerHandle | None = None

    def take(self, delivery: Delivery, index: int, *, source: str) -> bool:
        """JetStream delivers the event at *index* to this server; False if it was this server's already, or is done."""
        found, now = self._leases.get(index), self._loop.time()
        if found and not found.is_back:
            found.take(delivery, now=now)
            return False
        if found:
            found.until = 0.0
        self._leases[index] = Lease(index, delivery.reply, delivery.attempt, source, now + LEASE_SECONDS)
        if self._timer is None:
            self._timer = self._loop.call_later(EXTEND_SECONDS, self._extend)
        return True

    def get(self, index: int) -> Lease | None:
        """The lease of the event at *index*, None if it isn't this server's."""
        return self._leases.get(index)

    def is_lost(self, index: int) -> bool:
        """Whether the event at *index* may be another server's by now."""
        lease = self._leases.get(index)
        return lease is None or lease.until <= self._loop.time()

    @property
    def lost(self) -> list[int]:
        """The indexes of those that may be."""
        now = self._loop.time()
        return [index for index, lease in self._leases.items() if lease.until <= now]

    def forget(self, index: int) -> None:
        """It is another server's."""
        self._leases.pop(index, None)

    # -- what becomes of them

    def acknowledge(self, index: int, settled: Settled) -> None:
        """The event is done; *settled* is called when JetStream knows."""
        self._end(index, ACK, settled)

    def give_up(self, index: int, settled: Settled) -> None:
        """The event is never delivered again."""
        self._end(index, REJECT, settled)

    def give_back(self, index: int, delay: float, settled: Settled) -> None:
        """Somebody else is to have it, *delay* seconds from now."""
        if self.is_lost(index):
            self.forget(index)
            settled(None)
        else:
            self._end(index, nack(delay), settled)

    def _end(self, index: int, settlement: Settlement, settled: Settled) -> None:
        lease = self._leases.get(index)
        if lease is None:
            settled(None)
            return
        lease.is_back, lease.is_done = settlement not in (ACK, REJECT), settlement in (ACK, REJECT)
        _Saying(self._jetstream, self._loop, lease, settlement, self._ended, settled).say()

    def _ended(self, lease: Lease) -> None:
        if self._leases.get(lease.index) is lease:
            del self._leases[lease.index]

    # -- extending

    def _extend(self) -> None:
        self._timer = self._loop.call_later(EXTEND_SECONDS, self._extend) if self._leases else None
        late = self._loop.time() + LEASE_SECONDS - 2 * EXTEND_SECONDS
        self.in_doubt = any(lease.until < late for lease in self._leases.values())
        for lease in self._leases.values():
            if not (lease.is_done or lease.is_back):
                self._extend_one(lease)

    def _extend_one(self, lease: Lease) -> None:
        until = self._loop.time() + LEASE_SECONDS

        def told(answer: Message | NatsError) -> None:
            if not isinstance(answer, NatsError):
                lease.until = max(lease.until, until)

        self._jetstream.settle(lease.reply, EXTEND, told, seconds=EXTEND_SECONDS)

    def close(self) -> None:
        """Extend no more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def __iter__(self) -> Iterator[Lease]:
        return iter(list(self._leases.values()))

    def __contains__(self, index: object) -> bool:
        return index in self._leases

    def __len__(self) -> int:
        return len(self._leases)

    def __repr__(self) -> str:
        return f"<Leases of {len(self)} events>"


@dataclass(slots=True, eq=False)
class _Saying:
    """Says what becomes of a lease until JetStream confirms it, or nobody waits any more."""

    jetstream: JetStream
    loop: AbstractEventLoop
    lease: Lease
    settlement: Settlement
    ended: Callable[[Lease], None]
    settled: Settled
    until: float = 0.0

    def say(self) -> None:
        self.until = self.until or self.loop.time() + PATIENCE
        self.jetstream.settle(self.lease.reply, self.settlement, self._told, seconds=TRY_SECONDS)

    def _told(self, answer: Message | NatsError) -> None:
        if not isinstance(answer, NatsError):
            self.ended(self.lease)
            self.settled(None)
        elif self._may_say_more:
            self.loop.call_later(PAUSE, self.say)
        else:
            self.ended(self.lease)
            self.settled(not_reached(answer, f"event {self.lease.index} may be delivered again"))

    @property
    def _may_say_more(self) -> bool:
        """A late word takes an event from who has it by then, unless that is that it is done."""
        now = self.loop.time()
        return now < self.until and (self.settlement is ACK or now < self.lease.until - TRY_SECONDS)
