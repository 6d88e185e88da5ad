"""Durable consumers: found by name, and kept over restarts, unless their namespace is in memory.

Their positions are written behind the deliveries (`checkpoints`). A new consumer is written before its first delivery,
or its start would be forgotten.
"""

from __future__ import annotations

import logging
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import msgspec

from bus.engine.base import Settled, Sink, Subscribe, unknown_namespace
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import Delivery, GivenUp
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.names import check_name, too_many, unknown_consumer
from bus.engine.consumer.subscription import ConsumerSubscription, SharedConsumer
from bus.engine.consumer.terms import Terms
from bus.engine.embedded.checkpoints import Checkpoints
from bus.engine.embedded.consumers.consumer_recovery import corrections, fit
from bus.engine.embedded.consumers.consumer_store import ConsumerState, ConsumerStore
from bus.engine.embedded.consumers.dead_letters import DeadLetters
from bus.engine.embedded.consumers.durable_consumer import DurableConsumer, is_for, place_in, terms_in
from bus.engine.embedded.consumers.no_consumer_store import NoConsumerStore
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import StartPosition, locate
from bus.errors import (
    BusError,
    ConsumerMismatchError,
    StorageError,
)

log = logging.getLogger("bus.engine")


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
        self.letters = DeadLetters(namespaces, self.changed)
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

    def take_up(self, namespace: LogNamespace) -> None:
        """Take up those of a namespace that is served from now on."""
        if not namespace.is_volatile:
            for state in [found for found in self._unserved.values() if found.namespace == namespace.name]:
                self._durables[state.name] = self._revive(namespace, self._corrected(namespace, state))
                del self._unserved[state.name]

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
        durable = self._make(namespace, state.name, terms_in(state), place_in(state))
        durable.dead = {dead.index: dead for dead in state.dead}
        durable.idle_before = state.idle
        self._restore(durable, state.pending)
        return durable

    def _restore(self, durable: DurableConsumer, pending: Iterable[KeptDelivery]) -> None:
        """Take up what was pending; what can't be read any more is given up."""
        for lost in durable.restore(pending, wall=time.time_ns()):
            gone = Delivery(lost.index, "", attempts=lost.attempts)
            self.letters.bury(durable, GivenUp(gone, "it can't be read"), lambda error: None)

    def _make(self, namespace: LogNamespace, name: str, terms: Terms, position: StartPosition) -> DurableConsumer:
        return DurableConsumer(self._consume(namespace, name, terms, position), terms, idle_since=self._loop.time())

    def _consume(self, namespace: LogNamespace, name: str, terms: Terms, position: StartPosition) -> Consumer:
        consumer = Consumer(namespace, terms, position, name=name, loop=self._loop, owner=self)
        consumer.paused = terms.paused
        return consumer

    # -- joining

    def join(self, namespace: LogNamespace, wanted: Subscribe, sink: Sink) -> ConsumerSubscription:
        """Add a connection to the consumer that *wanted* names, which is made if it is new.

        Raises `ConsumerMismatchError` if it has other terms, `TooManyConsumersError` if there is no room for a
        new one, `InvalidParameterError` for its name.
        """
        durable = self._durables.get(wanted.consumer or "")
        if durable is None:
            return self._begin(namespace, wanted, sink)
        self.adopt(durable, durable.terms.agreed(wanted))
        durable.show_life(now=self._loop.time())
        self.changed(durable.consumer)
        return durable.consumer.join(wanted, sink)

    def _begin(self, namespace: LogNamespace, wanted: Subscribe, sink: Sink) -> ConsumerSubscription:
        name, position = wanted.consumer or "", self._place(namespace, wanted)
        durable = self._add(namespace, name, Terms.of(wanted), position)
        return durable.consumer.join(wanted, sink, position.gap)

    def make(self, namespace: LogNamespace, wanted: Subscribe, terms: Terms) -> None:
        """Make a consumer of these *terms* where *wanted* says. Raises what `join` does."""
        self._add(namespace, wanted.consumer or "", terms, self._place(namespace, wanted))

    def _add(self, namespace: LogNamespace, name: str, terms: Terms, position: StartPosition) -> DurableConsumer:
        """Make a consumer, which is on disk before it is there."""
        durable = self._make(namespace, name, terms, position)
        self.write(self.state_of(durable))
        self._durables[name] = durable
        return durable

    def _place(self, namespace: LogNamespace, wanted: Subscribe) -> StartPosition:
        """Where a new consumer begins: where *wanted* says, or with the oldest event if it was there and is damaged."""
        name = wanted.consumer or ""
        check_name(name)
        self._refuse_unserved(name)
        forgotten = not namespace.is_volatile and self._store.has_forgotten(name)
        position = StartPosition(namespace.first) if forgotten else locate(namespace, wanted)
        if len(self._durables) + len(self._unserved) >= self._most:
            raise too_many(self._most)
        if forgotten:
            log.warning("consumer %s begins again with event %d: its place was damaged", name, namespace.first)
        return position

    def _refuse_unserved(self, name: str) -> None:
        if name in self._unserved:
            namespace = self._unserved[name].namespace
            reason = "is in memory now" if namespace in self._namespaces else "isn't served now"
            raise ConsumerMismatchError(f"consumer {name} is of namespace {namespace}, which {reason}")

    def adopt(self, durable: DurableConsumer, terms: Terms) -> None:
        """Have *terms* hold that read as those before do."""
        if terms == durable.terms:
            return
        durable.terms = terms
        durable.consumer.pending.configure(redelivery=terms.redelivery, limit=terms.redelivery_count)
        if terms.paused != durable.consumer.paused:
            durable.consumer.pause() if terms.paused else durable.consumer.resume()
        self.changed(durable.consumer)

    def rebuild(self, durable: DurableConsumer, terms: Terms) -> None:
        """Have any *terms* hold: its connections are interrupted, and it goes on as after a restart."""
        durable.consumer.close()
        durable.consumer.interrupt("the consumer was changed")
        state = self.state_of(durable, terms=terms)
        namespace = self._namespaces[state.namespace]
        durable.consumer = self._consume(namespace, state.name, terms, place_in(state))
        durable.terms = terms
        self._restore(durable, state.pending)
        self.changed(durable.consumer)

    def left(self, subscription: ConsumerSubscription) -> None:
        """A connection is gone; the consumer stays."""
        self._left(subscription.consumer_id)
        if durable := self._durables.get(subscription.consumer.name):
            durable.show_life(now=self._loop.time())

    # -- checkpoints

    def acknowledged(self, consumer: SharedConsumer, indexes: Sequence[int], settled: Settled) -> None:
        """It is written with the next checkpoint: a crash before that repeats the deliveries."""
        settled(None)

    def changed(self, consumer: SharedConsumer) -> None:
        """Write it with the others that have changed."""
        namespace = self._namespaces.get(consumer.namespace.name)  # gone once it is deleted
        if consumer.name and namespace and not namespace.is_volatile:
            self._checkpoints.write_behind(consumer.name)

    def _encode(self, name: str) -> bytes:
        durable = self._durables.get(name)
        return msgspec.msgpack.encode(self.state_of(durable)) if durable else b""

    def state_of(self, durable: DurableConsumer, *, terms: Terms | None = None) -> ConsumerState:
        """What is to be written of it, with other *terms* if they are given."""
        state = durable.state(now=self._loop.time(), wall=time.time_ns(), terms=terms)
        if terms and terms.filter != durable.terms.filter:
            state.pending = [kept for kept in state.pending if is_for(terms.filter, durable.namespace, kept.index)]
        return state

    def write(self, state: ConsumerState) -> None:
        """Have *state* on disk before this returns, unless it is of a namespace in memory.

        Raises `StorageError`, or `UnknownNamespaceError` if that was deleted meanwhile.
        """
        namespace = self._namespaces.get(state.namespace)
        if namespace is None:
            raise unknown_namespace(state.namespace)
        if not namespace.is_volatile:
            self._checkpoints.write(state.name, msgspec.msgpack.encode(state))

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

        self.letters.bury(self._durables[consumer.name], gone, buried)

    # -- what there is

    def get(self, name: str) -> DurableConsumer:
        """The consumer of this name. Raises `UnknownConsumerError`."""
        try:
            return self._durables[name]
        except KeyError:
            raise unknown_consumer(name) from None

    def forget(self, name: str) -> None:
        """Forget a consumer for good; its streams end. Raises `UnknownConsumerError` or `StorageError`."""
        durable = None if name in self._unserved else self.get(name)
        self._checkpoints.write(name, b"")
        self._unserved.pop(name, None)
        if durable:
            durable.consumer.end("deleted")
            durable.consumer.close()
            del self._durables[name]

    def end_namespace(self, name: str) -> list[str]:
        """End the consumers of the namespace *name*, and their streams; returns who they were, for `forget_all`."""
        served = [durable for durable in self if durable.namespace.name == name]
        for durable in served:
            durable.consumer.end("deleted")
            durable.consumer.close()
            del self._durables[durable.name]
        unserved = [state.name for state in self._unserved.values() if state.namespace == name]
        for consumer in unserved:
            del self._unserved[consumer]
        return [durable.name for durable in served] + unserved

    def forget_all(self, names: Iterable[str]) -> None:
        """Forget consumers that were ended, for good, unless there are others of these names by now.

        Raises `StorageError`.
        """
        if gone := set(names) - self._durables.keys() - self._unserved.keys():
            self._checkpoints.forget(gone)

    def erase(self) -> None:
        """Leave no traces of those that were forgotten; on any thread. Raises `StorageError`."""
        self._checkpoints.erase()

    def __iter__(self) -> Iterator[DurableConsumer]:
        """All of them, by their names."""
        return iter([found for _, found in sorted(self._durables.items())])

    def __contains__(self, name: object) -> bool:
        return name in self._durables

    def __len__(self) -> int:
        return len(self._durables)

    def __repr__(self) -> str:
        return f"<DurableConsumers {', '.join(self._durables)}>"
