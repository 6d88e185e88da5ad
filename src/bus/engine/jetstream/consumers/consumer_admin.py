"""What is asked of durable consumers by name, and done to them, at any Bus server.

What all servers know stands in records; how far a consumer is, JetStream says; who is connected, and what is in flight
with whom, is known of this server alone.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET
from msgspec.structs import replace

from bus.consumer import ConsumerConnection, ConsumerDescription, Move, PendingDeliveries
from bus.engine.administration import Changed, ConsumerChange, DeadLetter, Destination, Redriven, Step
from bus.engine.base import AckMode, Subscribe
from bus.engine.consumer.delivery import Delivery
from bus.engine.consumer.delivery_listing import WallClock, list_connections, list_pending
from bus.engine.consumer.moving import Effect, preview
from bus.engine.consumer.names import check_name
from bus.engine.consumer.terms import Terms
from bus.engine.consumer.why import NO_CONNECTION, PAUSED, why
from bus.engine.jetstream.consumers.consumer_description import describe_consumer
from bus.engine.jetstream.consumers.consumer_record import ConsumerRecord
from bus.engine.jetstream.consumers.durable_consumers import LeasedConsumers
from bus.engine.jetstream.consumers.starting import StreamStarting
from bus.engine.jetstream.error_mapping import not_reached
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.not_supported import NO_EXPIRY, NO_LAST, NO_ORDER
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.reading.start_position import begin
from bus.engine.start import StartKind
from bus.errors import ConsumerMismatchError, NotSupportedError, UnknownConsumerError
from bus.nats import ConsumerInfo, NatsError
from bus.subject import Filter


class LeasedAdmin:
    """Looks after *consumers*."""

    def __init__(
        self, consumers: LeasedConsumers, starting: StreamStarting, *, loop: AbstractEventLoop, turns: RoundRobin
    ) -> None:
        self._consumers = consumers
        self._starting = starting
        self._loop = loop
        self._turns = turns

    # -- looking

    async def describe(self) -> Sequence[ConsumerDescription]:
        records = list(self._consumers)
        infos: dict[str, ConsumerInfo] = {}
        for namespace in {record.namespace for record in records}:
            infos |= await self._infos(namespace)
        return [self._describe(record, infos.get(record.consumer)) for record in records]

    async def _infos(self, namespace: str) -> Mapping[str, ConsumerInfo]:
        try:
            stream = self._consumers.naming.stream(namespace)
            return {info.name: info for info in await self._consumers.jetstream.consumers(stream)}
        except NatsError:  # what is known here is told nevertheless
            return {}

    async def describe_one(self, name: str) -> ConsumerDescription:
        record = self._consumers.get(name)
        return self._describe(record, await self._look(record))

    async def _look(self, record: ConsumerRecord) -> ConsumerInfo:
        """How JetStream has it now."""
        bound, stream = self._consumers.bound(record.name), self._consumers.naming.stream(record.namespace)
        next_index = bound.namespace.next if bound else 0
        try:
            info = await self._consumers.jetstream.consumer(stream, record.consumer)
        except NatsError as error:
            raise not_reached(error, f"consumer {record.name}") from error
        if bound and not info.num_pending:
            bound.caught_up(next_index)
        return info

    def _describe(self, record: ConsumerRecord, info: ConsumerInfo | None) -> ConsumerDescription:
        bound, dead = self._consumers.bound(record.name), self._consumers.letters.count(record)
        return describe_consumer(record, info, bound, dead=dead, why=self._why(record), loop=self._loop)

    def _why(self, record: ConsumerRecord) -> str:
        if bound := self._consumers.bound(record.name):
            return why(bound.consumer, now=self._loop.time())
        return PAUSED.format(count=0) if record.paused else NO_CONNECTION

    async def why(self, name: str) -> str:
        record = self._consumers.get(name)
        await self._look(record)
        return self._why(record)

    async def pending(self, name: str, *, most: int) -> PendingDeliveries:
        record = self._consumers.get(name)
        if bound := self._consumers.bound(record.name):
            return await self._turns.run(list_pending(bound.consumer, most, WallClock.now(self._loop)))
        return PendingDeliveries(0, [])

    async def connections(self, name: str) -> Sequence[ConsumerConnection]:
        bound = self._consumers.bound(self._consumers.get(name).name)
        return list_connections(bound.consumer, WallClock.now(self._loop)) if bound else []

    async def patterns(self, name: str) -> Sequence[str]:
        return self._consumers.get(name).patterns

    # -- changing

    async def change(self, name: str, change: ConsumerChange) -> Changed:
        _check(change)
        if made := name not in self._consumers:
            await self._make(name, change)
        else:
            await self._change(self._consumers.get(name), change)
        return Changed(await self.describe_one(name), made)

    async def _make(self, name: str, change: ConsumerChange) -> None:
        check_name(name)
        if change.filter is None:
            raise UnknownConsumerError(f"consumer {name[:80]!a} doesn't exist: say which patterns it reads to make it")
        namespace = self._consumers.namespace(change.filter.namespace)
        wanted = Subscribe(filter=change.filter, start=change.start, ack=AckMode.MANUAL, consumer=name)
        settled = await self._starting.settle(namespace, wanted)
        position = begin(namespace, settled.start)
        await self._consumers.make(name, Terms(filter=change.filter).changed(change), start=position.index)

    async def _change(self, record: ConsumerRecord, change: ConsumerChange) -> None:
        if change.filter and change.filter.namespace != record.namespace:
            raise ConsumerMismatchError(
                f"consumer {record.name} is of namespace {record.namespace}: for {change.filter} make another"
            )
        await self._consumers.change(record, record.terms.changed(change))

    async def move(self, name: str, to: Destination, *, dry_run: bool = False) -> Move:
        record = self._consumers.get(name)
        effect = await self._preview(record, to)
        if not dry_run:
            await self._consumers.move(record, effect.to)
        return Move(effect.origin, effect.to, effect.repeats, effect.skips, effect.forgotten, moved=not dry_run)

    async def _preview(self, record: ConsumerRecord, to: Destination) -> Effect:
        namespace, filter = self._consumers.namespace(record.namespace), record.terms.filter
        if not isinstance(to, Step):
            wanted = Subscribe(filter=filter, start=to, ack=AckMode.MANUAL)
            to = (await self._starting.settle(namespace, wanted)).start
        await namespace.settled()
        info = await self._look(record)
        cursor = namespace.next if not info.num_pending else max(info.delivered.stream_seq + 1, record.start)
        moved = _Moved(namespace, filter, cursor, self._pending(record, info))
        return await self._turns.run(preview(moved, to))

    def _pending(self, record: ConsumerRecord, info: ConsumerInfo) -> Sequence[Delivery]:
        """What is pending at all servers. Of what isn't here only the number is known, and where it begins."""
        bound = self._consumers.bound(record.name)
        here = list(bound.consumer.pending) if bound else []
        elsewhere = Delivery(info.ack_floor.stream_seq + 1, "")
        return here + [elsewhere] * (info.num_ack_pending - len(here))

    async def delete(self, name: str) -> None:
        await self._consumers.forget(self._consumers.get(name))

    # -- dead letters

    async def dead(self, name: str) -> Sequence[DeadLetter]:
        return self._consumers.letters.of(self._consumers.get(name))

    async def redrive(self, name: str, indexes: Iterable[int] | None = None) -> Redriven:
        record = self._consumers.get(name)
        if not record.redriven:
            record = await self._consumers.write(record, replace(record, redriven=True))
        namespace = self._consumers.namespace(record.namespace)
        return await self._consumers.letters.redrive(record, namespace, indexes)

    async def drop(self, name: str, indexes: Iterable[int] | None = None) -> int:
        return await self._consumers.letters.drop(self._consumers.get(name), indexes)

    def __repr__(self) -> str:
        return f"<LeasedAdmin of {self._consumers!r}>"


@dataclass(frozen=True, slots=True)
class _Moved:
    """A consumer that is to be moved, as it is at all servers."""

    namespace: JetNamespace
    filter: Filter
    cursor: int
    pending: Sequence[Delivery]
    newest_until: int = 0


def _check(change: ConsumerChange) -> None:
    """Raises `NotSupportedError` for what isn't promised here."""
    if change.by_key:
        raise NotSupportedError(NO_ORDER)
    if change.expires is not UNSET:
        raise NotSupportedError(NO_EXPIRY)
    if change.start.kind is StartKind.LAST:
        raise NotSupportedError(NO_LAST)
