"""Durable consumers: found by name at any Bus server, and shared by all of them.

    record, known at every server ─▶ bound here by the first member ─▶ LeasedConsumer

A record is written before its consumer hands out anything. What a record says otherwise than before is carried out by
every server that has the consumer bound.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec

from bus.engine.base import Settled, Sink, Subscribe, unknown_namespace
from bus.engine.consumer.delivery import GivenUp
from bus.engine.consumer.names import check_name, too_many, unknown_consumer
from bus.engine.consumer.subscription import ConsumerSubscription, SharedConsumer
from bus.engine.consumer.terms import Terms
from bus.engine.jetstream.consumers.consumer_record import ConsumerRecord
from bus.engine.jetstream.consumers.dead_letters import DeadLetters
from bus.engine.jetstream.consumers.leased_consumer import LeasedConsumer
from bus.engine.jetstream.consumers.records import Records, changed_meanwhile
from bus.engine.jetstream.error_mapping import NO_CONSUMER, not_reached
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.naming import Naming
from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import StartPosition
from bus.errors import BusError, ConflictError
from bus.nats import ApiError, ConsumerConfig, JetStream, NatsError

log = logging.getLogger("bus.engine")

ATTEMPTS = 3
"""How often a name is looked at anew when another server was faster."""

STOP_SECONDS = 5.0
"""How long it may take in the end to give back what is leased."""

Place = Callable[[], StartPosition]
"""Where a consumer begins, if it turns out to be new."""


class LeasedConsumers:
    """All durable consumers, and those that this server serves, as their `ConsumerOwner`.

    *left* is told the id of each connection that is gone, *refused* of the events that were given up.
    """

    def __init__(
        self,
        jetstream: JetStream,
        naming: Naming,
        namespaces: Mapping[str, JetNamespace],
        *,
        loop: AbstractEventLoop,
        left: Callable[[str], None],
        refused: Callable[[Namespace, GivenUp], None],
        most: int,
    ) -> None:
        self.jetstream = jetstream
        self.naming = naming
        self._namespaces = namespaces
        self._loop = loop
        self._left = left
        self._refused = refused
        self._most = most
        self._known: dict[str, ConsumerRecord] = {}
        self._bound: dict[str, LeasedConsumer] = {}
        self._binding = asyncio.Lock()
        self._ending: list[LeasedConsumer] = []
        self._records: Records | None = None
        self.letters = DeadLetters(self, loop)

    async def open(self) -> None:
        """Know all there are. Raises `UnavailableError`."""
        self._records = Records(self.jetstream, self.naming, changed=self._heard, loop=self._loop)
        await self.records.caught_up()

    @property
    def records(self) -> Records:
        """What holds of consumers, once it is open."""
        assert self._records is not None, "nobody asks before it is open"
        return self._records

    # -- what records say

    def _heard(self, subject: str, payload: bytes) -> None:
        what, *names = subject[len(self.naming.record("")) :].split(".")
        if what == "dead":
            self.letters.heard(names[0], int(names[1]), payload)
        elif payload:
            self._heard_of(msgspec.json.decode(payload, type=ConsumerRecord))
        else:
            self._heard_end(names[0])

    def _heard_of(self, record: ConsumerRecord) -> None:
        self._known[record.name] = record
        bound = self._bound.get(record.name)
        if bound is None:
            return
        is_moved = bound.record.consumer != record.consumer
        if is_moved or not bound.record.terms.reads_as(record.terms):
            if is_moved:
                bound.forget()
            bound.consumer.interrupt("the consumer was changed")
            self._unbind(bound)
        else:
            bound.agree(record)

    def _heard_end(self, name: str) -> None:
        if record := self._known.pop(name, None):
            self.letters.forget(record.token)
        if bound := self._bound.get(name):
            bound.forget()
            bound.consumer.end("deleted")
            self._unbind(bound)

    def _unbind(self, bound: LeasedConsumer) -> None:
        """Serve it no more; its members are gone, and what was leased goes back."""
        self._bound.pop(bound.name, None)
        self._ending = [*(each for each in self._ending if each.tasks), bound]
        bound.consumer.close()

    # -- joining

    async def join(self, namespace: JetNamespace, wanted: Subscribe, sink: Sink, place: Place) -> ConsumerSubscription:
        """Add a connection to the consumer that *wanted* names, which is made where *place* says if it is new.

        Raises what `DurableConsumers.join` of the embedded engine does, and `UnavailableError`.
        """
        check_name(wanted.consumer or "")
        for _ in range(ATTEMPTS - 1):
            with suppress(ConflictError):
                return await self._join(namespace, wanted, sink, place)
            await self.records.caught_up()
        return await self._join(namespace, wanted, sink, place)

    async def _join(self, namespace: JetNamespace, wanted: Subscribe, sink: Sink, place: Place) -> ConsumerSubscription:
        gap, found = None, self._known.get(wanted.consumer or "")
        if found:
            record = await self.change(found, found.terms.agreed(wanted))
        else:
            position = place()
            gap = position.gap
            record = await self.make(wanted.consumer or "", Terms.of(wanted), start=position.index)
        bound = await self._bind(namespace, record)
        subscription = bound.consumer.join(wanted, sink, gap)
        bound.joined()
        return subscription

    async def make(self, name: str, terms: Terms, *, start: int) -> ConsumerRecord:
        """Make a consumer. Raises `TooManyConsumersError`, `ConflictError` or `UnavailableError`."""
        check_name(name)
        if len(self._known) >= self._most:
            raise too_many(self._most)
        return await self.write(None, ConsumerRecord.of(name, terms, start=start))

    async def change(self, record: ConsumerRecord, terms: Terms) -> ConsumerRecord:
        """Have *terms* hold. Raises `ConflictError` or `UnavailableError`."""
        return record if terms == record.terms else await self.write(record, record.holding(terms))

    async def write(self, before: ConsumerRecord | None, record: ConsumerRecord) -> ConsumerRecord:
        """Have a record hold in the place of another for all servers, and its consumers be there. Raises likewise."""
        if self._known.get(record.name) is not before:
            raise changed_meanwhile()
        await self.records.write(self.naming.record("consumer", record.name), msgspec.json.encode(record))
        await self._provide(record)
        return record

    async def _provide(self, record: ConsumerRecord) -> None:
        """Have JetStream's consumers of a record be there, as it says."""
        await self._create(self.naming.stream(record.namespace), record.config(self.naming))
        if record.redriven:
            await self._create(self.naming.redrives, record.redrive_config(self.naming))

    async def _create(self, stream: str, config: ConsumerConfig) -> None:
        try:
            await self.jetstream.create_consumer(stream, config, action="")
        except NatsError as error:
            raise not_reached(error, "the consumer isn't there yet") from error

    async def _bind(self, namespace: JetNamespace, record: ConsumerRecord) -> LeasedConsumer:
        """The consumer as this server serves it."""
        async with self._binding:
            if found := self._bound.get(record.name):
                return found
            await self._provide(record)
            bound = LeasedConsumer(record, namespace, self, owner=self, loop=self._loop)
            self._bound[record.name] = bound
            return bound

    # -- as an owner

    def left(self, subscription: ConsumerSubscription) -> None:
        """A connection is gone; the consumer stays."""
        self._left(subscription.consumer_id)
        if bound := self._bound.get(subscription.consumer.name):
            bound.left()

    def changed(self, consumer: SharedConsumer) -> None:
        if bound := self._bound.get(consumer.name):
            bound.changed()

    def acknowledged(self, consumer: SharedConsumer, indexes: Sequence[int], settled: Settled) -> None:
        bound = self._bound.get(consumer.name)
        if bound and indexes:
            bound.acknowledged(indexes, settled)
        else:
            settled(None)

    def given_up(self, consumer: SharedConsumer, gone: GivenUp, settled: Settled) -> None:
        """Lay it among the dead letters, and let who asked for a reply know that there will be none."""

        def buried(error: BusError | None) -> None:
            if not error:
                self._refused(consumer.namespace, gone)
            settled(error)

        bound = self._bound[consumer.name]
        bound.do(self.letters.bury(bound, gone, buried))

    # -- what there is

    def get(self, name: str) -> ConsumerRecord:
        """The record of a consumer. Raises `UnknownConsumerError`."""
        try:
            return self._known[name]
        except KeyError:
            raise unknown_consumer(name) from None

    def bound(self, name: str) -> LeasedConsumer | None:
        """A consumer as this server serves it, None if it has no member here and never had."""
        return self._bound.get(name)

    def namespace(self, name: str) -> JetNamespace:
        """The namespace of this name. Raises `UnknownNamespaceError`."""
        try:
            return self._namespaces[name]
        except KeyError:
            raise unknown_namespace(name) from None

    async def forget(self, record: ConsumerRecord) -> None:
        """Forget a consumer for good; its streams end at every server. Raises `UnavailableError`."""
        await self.records.write(self.naming.record("consumer", record.name), b"")
        await self.abandon(record)
        if record.redriven:
            await self._delete(self.naming.redrives, record.redrive_consumer)
            await self._purge_redriven(record)
        await self.records.forget("dead", record.token)

    async def move(self, record: ConsumerRecord, start: int) -> None:
        """Have a consumer go on from index *start*, with nothing pending. Raises likewise, or `ConflictError`."""
        await self.write(record, record.moved(start))
        await self.abandon(record)

    async def abandon(self, record: ConsumerRecord) -> None:
        """Delete where a consumer was and what it had pending. Raises `UnavailableError`."""
        await self._delete(self.naming.stream(record.namespace), record.consumer)
        await self.records.forget("delivery", record.consumer)

    async def _purge_redriven(self, record: ConsumerRecord) -> None:
        try:
            await self.jetstream.purge_stream(self.naming.redrives, subject=self.naming.redrive(record.token))
        except NatsError as error:
            raise not_reached(error, "what was sent back to the consumer isn't deleted") from error

    async def _delete(self, stream: str, consumer: str) -> None:
        try:
            await self.jetstream.delete_consumer(stream, consumer)
        except NatsError as error:
            if not (isinstance(error, ApiError) and error.err_code == NO_CONSUMER):
                raise not_reached(error, "the consumer isn't deleted from JetStream") from error

    def stop(self) -> None:
        """Hand out nothing more: connections that end from now on are ended by the server."""
        for bound in self._bound.values():
            bound.consumer.close()

    async def aclose(self) -> None:
        """Give back what is leased, and follow no more."""
        every = [*self._bound.values(), *self._ending]
        for bound in every:
            bound.close_members()
        if tasks := {task for bound in every for task in bound.tasks}:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for bound in every:
            bound.close()
        if self._records:
            await self._records.close()

    def __iter__(self) -> Iterator[ConsumerRecord]:
        """All of them, by their names."""
        return iter([record for _, record in sorted(self._known.items())])

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __len__(self) -> int:
        return len(self._known)

    def __repr__(self) -> str:
        return f"<LeasedConsumers {', '.join(self._known)}>"
