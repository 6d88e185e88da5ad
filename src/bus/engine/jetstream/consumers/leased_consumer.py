"""A durable consumer as one Bus server serves it: the members here, and the events that are leased to them.

    JetStream ─▶ lease ─▶ Consumer, as ever ──┬─ acknowledged ─▶ lease over
        ▲                                     └─ given up ─▶ dead letter ─▶ lease over
        └────── given back, when the last member has left

As long as there are members here, what fails an attempt stays here, with all that is known of it. How a delivery stands
is written down if JetStream's count of deliveries doesn't say it: for the server that gets it next, also after a crash.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop, Future, Task, TimerHandle
from collections.abc import Coroutine, Sequence
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from bus.engine.base import Settled
from bus.engine.consumer.all_settled import all_settled
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import AWAITED, DELAYED, IN_FLIGHT, READY, Delivery, DeliveryState
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.owner import ConsumerOwner
from bus.engine.consumer.pending import RETURN_SECONDS
from bus.engine.jetstream.consumers.consumer_record import ConsumerRecord, is_told_by
from bus.engine.jetstream.consumers.delivery_records import DeliveryRecords
from bus.engine.jetstream.consumers.leases import Lease, Leases
from bus.engine.jetstream.consumers.pulled_events import PulledEvents
from bus.engine.jetstream.consumers.records import Records
from bus.engine.jetstream.consumers.redriven_events import RedrivenEvents
from bus.engine.jetstream.consumers.silent_members import SilentMembers
from bus.engine.jetstream.message import Stored
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.naming import Naming
from bus.engine.reading.start_position import StartPosition
from bus.errors import BusError
from bus.nats import Delivery as JetDelivery
from bus.nats import JetStream

log = logging.getLogger("bus.engine")

NOTED_AFTER = 0.2
"""Seconds until it is written down how deliveries stand: a crash forgets attempts of that time."""


class Cluster(Protocol):
    """What a consumer needs of the cluster."""

    @property
    def jetstream(self) -> JetStream:
        """Where events and leases are."""

    @property
    def naming(self) -> Naming:
        """What things are called there."""

    @property
    def records(self) -> Records:
        """What holds of consumers."""


class _Returned(NamedTuple):
    """A delivery that goes back, to be delivered again *delay* seconds from now."""

    kept: KeptDelivery
    delay: float = 0.0

    @classmethod
    def of(cls, delivery: Delivery, now: float) -> _Returned:
        delay = delivery.due - now if delivery.state is DELAYED else 0.0
        return cls(KeptDelivery.of(delivery, due=0), max(delay, 0.0))


class LeasedConsumer:
    """The consumer that *record* tells of, on *namespace*. *owner* is told what its members do."""

    def __init__(
        self,
        record: ConsumerRecord,
        namespace: JetNamespace,
        cluster: Cluster,
        *,
        owner: ConsumerOwner,
        loop: AbstractEventLoop,
    ) -> None:
        self.record = record
        self.namespace = namespace
        self.leases = Leases(cluster.jetstream, loop)
        self.burying: set[int] = set()
        self._cluster = cluster
        self._loop = loop
        self._records = DeliveryRecords(cluster.records, cluster.naming, record)
        self._noting: TimerHandle | None = None
        self._is_gone = False
        self._tasks: set[Task[None]] = set()
        self._events = PulledEvents(
            namespace, record.terms.filter, cluster.jetstream, cluster.naming, self.leases,
            name=record.consumer, start=record.start, came_back=self._take_back, loop=loop,
        )  # fmt: skip
        self._redriven = RedrivenEvents(self, cluster.jetstream, cluster.naming.redrives, loop=loop)
        self.consumer = Consumer(
            namespace, record.terms, StartPosition(record.start),
            name=record.name, loop=loop, owner=owner, feed=self._events,
        )  # fmt: skip
        self.consumer.paused = record.paused
        self._silent = SilentMembers(
            self.consumer, others_wait=self._events.others_wait, leave=self._leave_to_others, do=self.do, loop=loop
        )
        self._events.room, self._events.is_bounded = self._room, self._is_bounded

    @property
    def name(self) -> str:
        return self.record.name

    def _room(self) -> int:
        """How many new events its members can be given now."""
        pending = self.consumer.pending
        return sum(member.room for member in self.consumer.subscriptions if pending.takes_new(member.window))

    def _is_bounded(self) -> bool:
        return any(member.until is not None for member in self.consumer.subscriptions)

    def caught_up(self, index: int) -> None:
        """There is nothing for it before *index* that wasn't handed out."""
        self._events.caught_up(index)

    def joined(self) -> None:
        """There is a member, which may be one who is sent back what was given up."""
        if self.record.redriven and self.consumer.subscriptions and not self.consumer.paused:
            self._redriven.begin(self.record.redrive_consumer)

    def agree(self, record: ConsumerRecord) -> None:
        """Have other terms hold that read as those before do."""
        self.record = record
        self.consumer.pending.configure(redelivery=record.redelivery, limit=record.redelivery_count)
        if record.paused and not self.consumer.paused:
            self.consumer.pause()
            self._ask_no_more()
        elif self.consumer.paused and not record.paused:
            self.consumer.resume()
        self.joined()

    def _ask_no_more(self) -> None:
        """Leave what wasn't handed out yet to others, or to later."""
        self._redriven.release()
        self._give_back([_Returned(KeptDelivery(index, 0)) for index in self._events.release()])

    # -- events that came back

    async def _take_back(self, delivery: JetDelivery, message: Stored) -> None:
        """Go on with a delivery that was another server's, or this one's before. Raises a `BusError`."""
        found = self.namespace.decode(message)
        lease = self.leases.get(message.index)
        if lease is None:
            return
        if found.expires <= self.namespace.clock() or not self.consumer.filter.matches(found.subject):
            self.leases.acknowledge(lease.index, lambda error: None)
            return
        self.restore(await self._records.take_up(lease), found.event_id)

    async def take_redriven(self, lease: Lease, event_id: str) -> None:
        """Deliver an event that was given up, with attempts from 1. Raises a `BusError`."""
        first = KeptDelivery(lease.index, 0)
        self.restore(first if lease.delivered == 1 else await self._records.take_up(lease), event_id)

    def restore(self, kept: KeptDelivery, event_id: str, *, delay: float = 0.0) -> None:
        """Take up a delivery where it was."""
        if self.consumer.subscriptions and not self.consumer.pending.has(kept.index):
            self.consumer.pending.restore(kept, event_id, now=self._loop.time(), delay=delay)
            self.consumer.pump_soon()
        elif not self.consumer.subscriptions:
            self._give_back([_Returned(kept, delay)])

    # -- what becomes of deliveries

    def acknowledged(self, indexes: Sequence[int], settled: Settled) -> None:
        """These are done; *settled* is called when JetStream knows."""
        each = all_settled(len(indexes), settled)
        for index in indexes:
            self._records.forget(index)
            self.leases.acknowledge(index, each)

    def close_members(self) -> None:
        """End what is left of its members: the server stops."""
        for member in list(self.consumer.subscriptions):
            member.close()
        self._await_no_more()

    def left(self) -> None:
        """A member is gone; with the last one, all that is leased goes back, unless its worker is awaited."""
        if self.consumer.subscriptions:
            return
        self._ask_no_more()
        self._give_back_all(READY, DELAYED)
        if len(self.consumer.pending):
            self._loop.call_later(RETURN_SECONDS, self._await_no_more)

    def _leave_to_others(self) -> None:
        """Members elsewhere are to have what came back."""
        self._ask_no_more()
        self._give_back_all(READY)

    def _await_no_more(self) -> None:
        if not self.consumer.subscriptions:
            self._give_back_all(READY, DELAYED, AWAITED)

    def _give_back_all(self, *states: DeliveryState) -> None:
        """Give back what is in one of these *states*."""
        returned = [found for found in self.consumer.pending if found.state in states]
        for delivery in returned:
            self.consumer.pending.settle(delivery)
        now = self._loop.time()
        self._give_back([_Returned.of(found, now) for found in sorted(returned, key=attrgetter("index"))])

    def _give_back(self, returned: Sequence[_Returned]) -> None:
        if returned and not self._is_gone:
            self._events.returning += 1
            self.do(self._give_back_later(returned))

    async def _give_back_later(self, returned: Sequence[_Returned]) -> None:
        """Write down what is known of them first, or the next server wouldn't know; they come in their order."""
        leased = [(lease, each.kept) for each in returned if (lease := self.leases.get(each.kept.index))]
        await asyncio.gather(
            *(self._records.note(lease, kept) for lease, kept in leased if not is_told_by(lease, kept))
        )
        await self._events.forgotten()
        await self._redriven.forgotten()
        settled: Future[BusError | None] = self._loop.create_future()
        each_settled = all_settled(len(returned), settled.set_result)
        for each in returned:
            self._records.forget(each.kept.index)
            self.leases.give_back(each.kept.index, each.delay, each_settled)
        if failed := await settled:
            log.warning("consumer %s: %s", self.name, failed)
        self._events.returning -= 1
        self._events.wake()

    # -- what is written down

    def changed(self) -> None:
        """Deliveries stand otherwise now; what was lost meanwhile isn't to be tried again here."""
        if self.leases.in_doubt:
            self._drop_lost()
        self._silent.changed()
        if self._noting is None:
            self._noting = self._loop.call_later(NOTED_AFTER, self._look_through)

    def _look_through(self) -> None:
        """Forget what was lost to other servers, and write down what JetStream doesn't know."""
        self._noting = None
        self._drop_lost()
        for delivery in self.consumer.pending:
            if (lease := self.leases.get(delivery.index)) and (kept := self._records.unknown(lease, delivery)):
                self.do(self._records.note(lease, kept))

    def _drop_lost(self) -> None:
        """What may be another server's and isn't with a member is no more this server's to hand out."""
        if lost := set(self.leases.lost) - self.burying:
            for delivery in [found for found in self.consumer.pending if found.index in lost]:
                if delivery.state is not IN_FLIGHT:
                    self.consumer.pending.settle(delivery)
                    self.leases.forget(delivery.index)

    # -- the end

    def forget(self) -> None:
        """Nothing of it goes back: JetStream forgets where it was."""
        self._is_gone = True
        self.leases.close()

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Do *work*, which is waited for at the end."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def tasks(self) -> set[Task[None]]:
        """What is under way."""
        return set(self._tasks)

    def close(self) -> None:
        """Ask for no more and extend no more."""
        self.consumer.close()
        self._events.close()
        self._redriven.release()
        self.leases.close()
        self._silent.close()
        if self._noting:
            self._noting.cancel()

    def __repr__(self) -> str:
        return f"<LeasedConsumer {self.name}, {len(self.leases)} leased>"
