"""What is asked of durable consumers by name, and done to them, by whoever manages them.

    asked ─▶ its turn at the consumer ─▶ what it would be ─▶ written to disk ─▶ done ─▶ answered

A change is on disk before it counts, so what was answered holds over a crash, and what couldn't be written has changed
nothing. While it is found out what a move means, nothing is handed out, so that it is true when it is done.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from bus.consumer import ConsumerConnection, ConsumerDescription, Move, PendingDeliveries
from bus.engine.administration import Changed, ConsumerChange, DeadLetter, Destination, Redriven
from bus.engine.base import AckMode, Subscribe, unknown_namespace
from bus.engine.consumer.delivery_listing import WallClock, list_connections, list_pending
from bus.engine.consumer.moving import Effect, preview
from bus.engine.consumer.terms import Terms
from bus.engine.consumer.why import why
from bus.engine.embedded.consumers.consumer_description import DescribedConsumer
from bus.engine.embedded.consumers.consumer_listing import MOST_PIECES, ConsumerListing
from bus.engine.embedded.consumers.durable_consumer import DurableConsumer
from bus.engine.embedded.consumers.durable_consumers import DurableConsumers
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.reading.matching_events import settle_start
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.start import StartKind
from bus.errors import ConflictError, ConsumerMismatchError, UnknownConsumerError

PIECES_AT_ONCE = 4
"""Pieces of the log that are looked at before a change is answered: a pause shouldn't wait for what is behind."""


class DurableAdmin:
    """Looks after *consumers*, whose logs are *namespaces*; what takes long is done in turn with others at *turns*."""

    def __init__(
        self,
        consumers: DurableConsumers,
        namespaces: Mapping[str, LogNamespace],
        *,
        loop: AbstractEventLoop,
        turns: RoundRobin,
    ) -> None:
        self._consumers = consumers
        self._namespaces = namespaces
        self._loop = loop
        self._turns = turns
        self._listing = ConsumerListing(lambda: list(map(self._about, self._consumers)), turns)

    # -- looking

    async def describe(self) -> Sequence[ConsumerDescription]:
        """Every durable consumer, for ``/v1/consumers``."""
        return await self._listing.ask()

    async def describe_one(self, name: str) -> ConsumerDescription:
        """One durable consumer. Raises `UnknownConsumerError`."""
        return await self._describe(self._consumers.get(name), pieces=MOST_PIECES)

    async def _describe(self, durable: DurableConsumer, *, pieces: int) -> ConsumerDescription:
        """What there is to say of it, having looked at so many pieces of the log at most."""
        found = [self._about(durable)]
        (about,) = await ConsumerListing(lambda: found, self._turns, pieces=pieces).ask()
        return about

    def _about(self, durable: DurableConsumer) -> DescribedConsumer:
        return DescribedConsumer(durable, self._loop)

    async def why(self, name: str) -> str:
        """Why nothing is being delivered, in a line. Raises `UnknownConsumerError`."""
        return why(self._consumers.get(name).consumer, now=self._loop.time())

    async def pending(self, name: str, *, most: int) -> PendingDeliveries:
        """What it has read and not settled. Raises `UnknownConsumerError`."""
        consumer = self._consumers.get(name).consumer
        return await self._turns.run(list_pending(consumer, most, WallClock.now(self._loop)))

    async def connections(self, name: str) -> Sequence[ConsumerConnection]:
        """Who shares it. Raises `UnknownConsumerError`."""
        return list_connections(self._consumers.get(name).consumer, WallClock.now(self._loop))

    # -- changing

    async def patterns(self, name: str) -> Sequence[str]:
        """What it reads. Raises `UnknownConsumerError`."""
        return [pattern.text for pattern in self._consumers.get(name).terms.filter.patterns]

    async def change(self, name: str, change: ConsumerChange) -> Changed:
        if made := name not in self._consumers:
            await self._make(name, change)
        durable = self._consumers.get(name)
        if not made:
            async with durable.managing:
                self._check_kept(durable)
                self._change(durable, change)
        return Changed(await self._describe(durable, pieces=PIECES_AT_ONCE), made)

    async def _make(self, name: str, change: ConsumerChange) -> None:
        if change.filter is None:
            raise UnknownConsumerError(f"consumer {name[:80]!a} doesn't exist: say which patterns it reads to make it")
        wanted = Subscribe(filter=change.filter, start=change.start, ack=AckMode.MANUAL, consumer=name)
        terms = Terms(filter=change.filter).changed(change)
        namespace = self._namespace(change.filter.namespace)
        if change.start.kind is StartKind.LAST:
            await namespace.subjects.written()  # so that it is known how many subjects there are to come
        wanted = await self._turns.run(settle_start(namespace, wanted))
        namespace = self._namespace(change.filter.namespace)
        if name in self._consumers:
            raise ConflictError(f"consumer {name} was made meanwhile by somebody else: try again")
        self._consumers.make(namespace, wanted, terms)

    def _namespace(self, name: str) -> LogNamespace:
        try:
            return self._namespaces[name]
        except KeyError:
            raise unknown_namespace(name) from None

    def _change(self, durable: DurableConsumer, change: ConsumerChange) -> None:
        if change.filter and change.filter.namespace != durable.namespace.name:
            raise ConsumerMismatchError(
                f"consumer {durable.name} is of namespace {durable.namespace.name}: for {change.filter} make another"
            )
        terms = durable.terms.changed(change)
        self._consumers.write(replace(self._consumers.state_of(durable, terms=terms), idle=0.0))
        durable.show_life(now=self._loop.time())
        if terms.reads_as(durable.terms):
            self._consumers.adopt(durable, terms)
        else:
            self._consumers.rebuild(durable, terms)

    async def move(self, name: str, to: Destination, *, dry_run: bool = False) -> Move:
        durable = self._consumers.get(name)
        if dry_run:
            return _move(await self._preview(durable, to), moved=False)
        async with durable.managing:
            self._check_kept(durable)
            with durable.consumer.holding():
                effect = await self._preview(durable, to)
                self._check_kept(durable)
                self._move(durable, effect.to)
            return _move(effect, moved=True)

    async def _preview(self, durable: DurableConsumer, to: Destination) -> Effect:
        return await self._turns.run(preview(durable.consumer, to))

    def _move(self, durable: DurableConsumer, index: int) -> None:
        state = self._consumers.state_of(durable)
        burying = [kept for kept in state.pending if kept.index in durable.burying and kept.index < index]
        self._consumers.write(replace(state, cursor=index, pending=burying, idle=0.0))
        durable.show_life(now=self._loop.time())
        durable.consumer.move(index)

    def _check_kept(self, durable: DurableConsumer) -> None:
        """Raise `UnknownConsumerError` if it was deleted meanwhile."""
        if self._consumers.get(durable.name) is not durable:
            raise UnknownConsumerError(f"consumer {durable.name} was deleted meanwhile")

    async def delete(self, name: str) -> None:
        """Forget a consumer; its streams end. Raises `UnknownConsumerError` or `StorageError`."""
        self._consumers.forget(name)

    # -- dead letters

    async def dead(self, name: str) -> list[DeadLetter]:
        """What consumer *name* gave up and nobody sent back or dropped. Raises `UnknownConsumerError`."""
        return list(self._consumers.get(name).dead.values())

    async def redrive(self, name: str, indexes: Iterable[int] | None = None) -> Redriven:
        """Send dead events back to their consumer, all or those given by index, as far as they are left."""
        return self._consumers.letters.redrive(self._consumers.get(name), indexes)

    async def drop(self, name: str, indexes: Iterable[int] | None = None) -> int:
        """Forget dead events, all or those given by index; returns how many."""
        return self._consumers.letters.drop(self._consumers.get(name), indexes)

    def __repr__(self) -> str:
        return f"<DurableAdmin of {self._consumers!r}>"


def _move(effect: Effect, *, moved: bool) -> Move:
    return Move(effect.origin, effect.to, effect.repeats, effect.skips, effect.forgotten, moved)
