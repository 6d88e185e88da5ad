"""Durable consumers: found by name, and kept over restarts, unless their namespace is in memory.

Their positions are written behind the deliveries (`checkpoints`). A new consumer is written before its first delivery,
or its start would be forgotten.
"""

from __future__ import annotations

import logging
import re
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from bus.engine.administration import ConsumerDescription, DeadLetter, Redriven
from bus.engine.base import Settled, Sink, Subscribe
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import Delivery, GivenUp
from bus.engine.consumer.subscription import ConsumerSubscription, SharedConsumer
from bus.engine.consumer.terms import Terms
from bus.engine.consumer.why import why
from bus.engine.embedded.checkpoints import Checkpoints
from bus.engine.embedded.consumer_description import DescribedConsumer, describe_dead
from bus.engine.embedded.consumer_listing import ConsumerListing
from bus.engine.embedded.consumer_recovery import corrections, fit
from bus.engine.embedded.consumer_store import ConsumerState, ConsumerStore
from bus.engine.embedded.dead_letters import DeadLetters
from bus.engine.embedded.durable_consumer import DurableConsumer
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.no_consumer_store import NoConsumerStore
from bus.engine.namespace import Namespace
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.reading.start_position import StartPosition, locate
from bus.errors import (
    BusError,
    ConsumerMismatchError,
    InvalidParameterError,
    StorageError,
    TooManyConsumersError,
    UnknownConsumerError,
)
from bus.subject import Filter

log = logging.getLogger("bus.engine")

_NAME = re.compile(r"[\w-]{1,128}")


class DurableConsumers:
    """All durable consumers of a server, as their `ConsumerOwner`.

    *left* is told the id of each connection that is gone, *refused* of the events that were given up.
    """

    def __init__(
        self,
        store: ConsumerStore | NoConsumerStore,
        namespaces: Mapping[str, LogNamespace],
        *,
        loop: AbstractEventLoop,
        turns: RoundRobin,
        left: Callable[[str], None],
        refused: Callable[[Namespace, GivenUp], None],
        most: int,
    ) -> None:
        self._store = store
        self._namespaces = namespaces
        self._loop = loop
        self._left = left
        self._refused = refused
        self._most = most
        self._turns = turns
        self._listing = ConsumerListing(
            lambda: [self._about(found) for _, found in sorted(self._durables.items())], turns
        )
        self._letters = DeadLetters(namespaces, self.changed)
        self._durables: dict[str, DurableConsumer] = {}
        self._unserved: dict[str, ConsumerState] = {}
        self._checkpoints = Checkpoints(store, self._encode, loop)

    # -- opening

    def load(self) -> None:
        """Take up every consumer where it was. Raises a `StorageError`."""
        for state in self._store.load():
            namespace = self._namespaces.get(state.namespace)
            if namespace is None or namespace.is_volatile:
                self._unserved[state.name] = state
            else:
                self._durables[state.name] = self._revive(namespace, self._corrected(namespace, state))

    def _corrected(self, namespace: LogNamespace, state: ConsumerState) -> ConsumerState:
        """*state* as it fits the log, on disk too: the indexes beyond its end are soon those of other events."""
        fitting = fit(state, next=namespace.next)
        if fitting != state:
            log.warning("%s", corrections(state, fitting))
            self._rewrite(fitting)
        return fitting

    def _rewrite(self, state: ConsumerState) -> None:
        try:
            self._checkpoints.write(state.name, msgspec.msgpack.encode(state))
        except StorageError as error:  # a full disk; it is tried again
            log.error("%s", error)
            self._checkpoints.write_behind(state.name)

    def _revive(self, namespace: LogNamespace, state: ConsumerState) -> DurableConsumer:
        terms = Terms(
            filter=Filter.parse(state.patterns),
            redelivery=tuple(state.redelivery),
            redelivery_count=state.redelivery_count,
            by_key=state.by_key,
            given=frozenset(state.given),
        )
        durable = self._make(namespace, state.name, terms, StartPosition(state.cursor))
        durable.dead = {dead.index: dead for dead in state.dead}
        for lost in durable.restore(state.pending, wall=time.time_ns()):
            gone = Delivery(lost.index, "", attempts=lost.attempts)
            self._letters.bury(durable, GivenUp(gone, "it can't be read"), lambda error: None)
        return durable

    def _make(self, namespace: LogNamespace, name: str, terms: Terms, position: StartPosition) -> DurableConsumer:
        consumer = Consumer(
            namespace, terms, position, name=name,
            loop=self._loop, owner=self,
        )  # fmt: skip
        return DurableConsumer(consumer, terms)

    # -- joining

    def join(self, namespace: LogNamespace, wanted: Subscribe, sink: Sink) -> ConsumerSubscription:
        """Add a connection to the consumer that *wanted* names, which is made if it is new.

        Raises `ConsumerMismatchError` if it has other terms, `TooManyConsumersError` if there is no room for a
        new one, `InvalidParameterError` for its name.
        """
        name = wanted.consumer or ""
        if not _NAME.fullmatch(name):
            raise InvalidParameterError(f"consumer {name[:80]!a} is malformed: 1 to 128 letters, digits, '_' or '-'")
        durable = self._durables.get(name)
        if durable is None:
            return self._begin(namespace, name, wanted, sink)
        self._adopt(durable, durable.terms.agreed(wanted))
        return durable.consumer.join(wanted, sink)

    def _begin(self, namespace: LogNamespace, name: str, wanted: Subscribe, sink: Sink) -> ConsumerSubscription:
        self._refuse_unserved(name)
        position = self._locate(namespace, name, wanted)
        if len(self._durables) + len(self._unserved) >= self._most:
            raise TooManyConsumersError(
                f"the server keeps {self._most} durable consumers already: delete one that isn't needed, "
                "or raise --max-consumers"
            )
        durable = self._make(namespace, name, Terms.of(wanted), position)
        if not namespace.is_volatile:
            self._checkpoints.write(name, self._encode_state(durable))
        self._durables[name] = durable
        return durable.consumer.join(wanted, sink, position.gap)

    def _locate(self, namespace: LogNamespace, name: str, wanted: Subscribe) -> StartPosition:
        """Where a new consumer begins: where it says, or with the oldest event if it was there and is damaged."""
        if namespace.is_volatile or not self._store.has_forgotten(name):
            return locate(namespace, wanted)
        log.warning("consumer %s begins again with event %d: its place was damaged", name, namespace.first)
        return StartPosition(namespace.first)

    def _refuse_unserved(self, name: str) -> None:
        if name in self._unserved:
            namespace = self._unserved[name].namespace
            reason = "is in memory now" if namespace in self._namespaces else "isn't served now"
            raise ConsumerMismatchError(f"consumer {name} is of namespace {namespace}, which {reason}")

    def _adopt(self, durable: DurableConsumer, terms: Terms) -> None:
        if terms != durable.terms:
            durable.terms = terms
            durable.consumer.pending.configure(redelivery=terms.redelivery, limit=terms.redelivery_count)
            self.changed(durable.consumer)

    def left(self, subscription: ConsumerSubscription) -> None:
        """A connection is gone; the consumer stays."""
        self._left(subscription.consumer_id)

    # -- checkpoints

    def changed(self, consumer: SharedConsumer) -> None:
        """Write it with the others that have changed."""
        if consumer.name and not self._namespaces[consumer.namespace.name].is_volatile:
            self._checkpoints.write_behind(consumer.name)

    def _encode(self, name: str) -> bytes:
        durable = self._durables.get(name)
        return self._encode_state(durable) if durable else b""

    def _encode_state(self, durable: DurableConsumer) -> bytes:
        return msgspec.msgpack.encode(durable.state(now=self._loop.time(), wall=time.time_ns()))

    def stop(self) -> None:
        """Hand out nothing more: connections that end from now on are ended by the server."""
        for durable in self._durables.values():
            durable.consumer.close()

    def close(self) -> None:
        """Write what is left and close the file."""
        self._checkpoints.finish()
        for durable in self._durables.values():
            durable.consumer.close()
        self._checkpoints.close(self._kept())

    def _kept(self) -> Iterator[str]:
        """The names of consumers that outlive the server."""
        for name, durable in self._durables.items():
            if not self._namespaces[durable.consumer.namespace.name].is_volatile:
                yield name

    # -- dead letters

    def given_up(self, consumer: SharedConsumer, gone: GivenUp, settled: Settled) -> None:
        """Lay it among the dead letters, and let who asked for a reply know that there will be none."""

        def buried(error: BusError | None) -> None:
            if not error:
                self._refused(consumer.namespace, gone)
            settled(error)

        self._letters.bury(self._durables[consumer.name], gone, buried)

    async def dead(self, name: str) -> list[DeadLetter]:
        """What consumer *name* gave up and nobody sent back or dropped. Raises `UnknownConsumerError`."""
        return list(map(describe_dead, self._get(name).dead.values()))

    async def redrive(self, name: str, indexes: Iterable[int] | None = None) -> Redriven:
        """Send dead events back to their consumer, all or those given by index, as far as they are left."""
        return self._letters.redrive(self._get(name), indexes)

    async def drop(self, name: str, indexes: Iterable[int] | None = None) -> int:
        """Forget dead events, all or those given by index; returns how many."""
        return self._letters.drop(self._get(name), indexes)

    # -- what there is

    def _get(self, name: str) -> DurableConsumer:
        try:
            return self._durables[name]
        except KeyError:
            raise UnknownConsumerError(f"consumer {name[:80]!a} doesn't exist: see /v1/consumers") from None

    async def delete(self, name: str) -> None:
        """Forget a consumer; its streams end. Raises `UnknownConsumerError`."""
        if self._unserved.pop(name, None) is None:
            durable = self._get(name)
            durable.consumer.end("deleted")
            durable.consumer.close()
            del self._durables[name]
        self._checkpoints.write(name, b"")

    async def describe(self) -> Sequence[ConsumerDescription]:
        """Every durable consumer, for ``/v1/consumers``."""
        return await self._listing.ask()

    async def describe_one(self, name: str) -> ConsumerDescription:
        """One durable consumer. Raises `UnknownConsumerError`."""
        found = [self._about(self._get(name))]
        (about,) = await ConsumerListing(lambda: found, self._turns).ask()
        return about

    def _about(self, durable: DurableConsumer) -> DescribedConsumer:
        return DescribedConsumer(durable, self._loop)

    async def why(self, name: str) -> str:
        """Why nothing is being delivered, in a line. Raises `UnknownConsumerError`."""
        return why(self._get(name).consumer, now=self._loop.time())

    def oldest_needed(self, namespace: str) -> int | None:
        """The oldest index that some consumer of *namespace* has yet to settle; None if it has no consumer."""
        needed = [durable.oldest_needed() for durable in self._of(namespace)]
        return min(needed, default=None)

    def pending_before(self, namespace: str, index: int) -> Iterator[int]:
        """The indexes before *index* that are pending for some consumer of *namespace*."""
        pending = (found for durable in self._of(namespace) for found in durable.consumer.pending)
        return (found.index for found in pending if found.index < index)

    def lose(self, namespace: LogNamespace, subjects: Mapping[int, str]) -> None:
        """Tell consumers, and the server's log, of what the log of *namespace* doesn't hold for them any more."""
        first = namespace.first
        for durable in self._of(namespace.name):
            oldest = durable.oldest_needed()
            if oldest < first:
                lost = durable.consumer.lose(first)
                self._letters.lose(durable, lost, subjects)
                log.warning(
                    "namespace %s: events %d to %d are deleted by retention before consumer %s settled them; %d "
                    "pending ones are among its dead letters, without payload",
                    namespace.name, oldest, first - 1, durable.name, len(lost),
                )  # fmt: skip

    def _of(self, namespace: str) -> list[DurableConsumer]:
        return [found for found in self._durables.values() if found.consumer.namespace.name == namespace]

    def __len__(self) -> int:
        return len(self._durables)

    def __repr__(self) -> str:
        return f"<DurableConsumers {', '.join(self._durables)}>"
