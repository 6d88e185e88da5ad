"""An engine that answers everything later, as one has to that asks other machines.

    server ── call ─▶ some turns of the loop ─▶ engine inside ── answer ─▶ some turns of the loop ─▶ server

Calls and answers keep their order. Nothing is raised at once, and no subscription is there when `subscribe` returns;
events are handed to a subscriber before their publisher hears of them, and acknowledged before that, too.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterable, Mapping, Sequence

from bus.consumer import ConsumerConnection, ConsumerDescription, Move, PendingDeliveries
from bus.engine.administration import (
    Changed,
    ChangedNamespace,
    ConsumerAdmin,
    ConsumerChange,
    DeadLetter,
    Destination,
    EngineCounts,
    EventAdmin,
    EventPage,
    Latencies,
    NamespaceAdmin,
    NamespaceChange,
    Recurring,
    Redriven,
    ScheduleAdmin,
    Scheduled,
    ScheduleDescription,
    SchedulePage,
    StoredEvent,
)
from bus.engine.base import (
    Acknowledge,
    AwaitedConfirmations,
    Engine,
    Expected,
    Opening,
    Outcome,
    Publisher,
    Replied,
    Settled,
    Sink,
    Subscribe,
    Subscription,
)
from bus.engine.guard import as_bus_error
from bus.errors import BusError
from bus.event import Draft
from bus.namespace import NamespaceDescription, SubjectPage
from bus.overview import ClusterNode
from bus.subject import Filter
from bus.wire import Durability

TURNS = 3
"""Turns of the loop that each call and each answer takes."""


class Later:
    """Does things after some turns of the loop, in the order they were asked for."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop

    def do(self, call: Callable[..., object], *args: object) -> None:
        self._wait(TURNS, call, args)

    def _wait(self, turns: int, call: Callable[..., object], args: Sequence[object]) -> None:
        if turns:
            self._loop.call_soon(self._wait, turns - 1, call, args)
        else:
            call(*args)

    def tell(self, told: Callable[..., object]) -> Callable[..., None]:
        """*told*, later."""
        return lambda *args: self.do(told, *args)

    def attempt(self, call: Callable[[], object], refused: Callable[[BusError], None]) -> None:
        """Do *call* later; what it raises goes to *refused*, later still."""
        self.do(self._attempt, call, refused)

    def _attempt(self, call: Callable[[], object], refused: Callable[[BusError], None]) -> None:
        try:
            call()
        except Exception as error:
            self.do(refused, as_bus_error(error, "a late call"))


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class LatePublisher:
    def __init__(self, inside: Publisher, later: Later) -> None:
        self._inside = inside
        self._later = later

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self._later.attempt(lambda: self._inside.stored(outcomes, durability), self._inside.failed)

    def failed(self, error: BusError) -> None:
        self._later.do(self._inside.failed, error)


class OpenSink:
    """A sink that nothing is written to once its subscription is closed."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.closed = False

    @property
    def writable(self) -> bool:
        return not self.closed and self._sink.writable

    def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
        if not self.closed:
            self._sink.write(data, again)

    def tell(self, kind: str, data: Mapping[str, str | int]) -> None:
        if not self.closed:
            self._sink.tell(kind, data)

    def interrupt(self, why: str) -> None:
        if not self.closed:
            self._sink.interrupt(why)

    def end(self, reason: str) -> None:
        if not self.closed:
            self._sink.end(reason)

    def fail(self, error: BusError) -> None:
        if not self.closed:
            self._sink.fail(error)


class LateSubscription:
    def __init__(self, inside: Subscription, sink: OpenSink, later: Later) -> None:
        self.consumer_id = inside.consumer_id
        self.namespace = inside.namespace
        self.first_index = inside.first_index
        self.next_index = inside.next_index
        self.gap = inside.gap
        self.redelivery = inside.redelivery
        self._inside = inside
        self._sink = sink
        self._later = later

    def start(self) -> None:
        self._later.do(self._inside.start)

    def resume(self) -> None:
        self._later.do(self._resume)

    def _resume(self) -> None:
        if self._sink.writable:
            self._inside.resume()

    def close(self) -> None:
        self._sink.closed = True
        self._later.do(self._inside.close)


class LateOpening:
    def __init__(self, inside: Opening, sink: OpenSink, later: Later) -> None:
        self._inside = inside
        self._sink = sink
        self._later = later

    def opened(self, subscription: Subscription) -> None:
        self._later.do(self._inside.opened, LateSubscription(subscription, self._sink, self._later))

    def refused(self, error: BusError) -> None:
        self._later.do(self._inside.refused, error)


class LateConfirmations:
    def __init__(self, inside: AwaitedConfirmations, later: Later) -> None:
        self._inside = inside
        self._later = later

    def stored(self, index: int) -> None:
        self._later.do(self._inside.stored, index)

    def stop(self) -> None:
        self._later.do(self._inside.stop)


class LateAdmin:
    def __init__(self, inside: ConsumerAdmin) -> None:
        self._inside = inside

    async def describe(self) -> Sequence[ConsumerDescription]:
        await _turns()
        return await self._inside.describe()

    async def describe_one(self, name: str) -> ConsumerDescription:
        await _turns()
        return await self._inside.describe_one(name)

    async def why(self, name: str) -> str:
        await _turns()
        return await self._inside.why(name)

    async def delete(self, name: str) -> None:
        await _turns()
        await self._inside.delete(name)

    async def patterns(self, name: str) -> Sequence[str]:
        await _turns()
        return await self._inside.patterns(name)

    async def change(self, name: str, change: ConsumerChange) -> Changed:
        await _turns()
        return await self._inside.change(name, change)

    async def move(self, name: str, to: Destination, *, dry_run: bool = False) -> Move:
        await _turns()
        return await self._inside.move(name, to, dry_run=dry_run)

    async def pending(self, name: str, *, most: int) -> PendingDeliveries:
        await _turns()
        return await self._inside.pending(name, most=most)

    async def connections(self, name: str) -> Sequence[ConsumerConnection]:
        await _turns()
        return await self._inside.connections(name)

    async def dead(self, name: str) -> Sequence[DeadLetter]:
        await _turns()
        return await self._inside.dead(name)

    async def redrive(self, name: str, indexes: Iterable[int] | None = None) -> Redriven:
        await _turns()
        return await self._inside.redrive(name, indexes)

    async def drop(self, name: str, indexes: Iterable[int] | None = None) -> int:
        await _turns()
        return await self._inside.drop(name, indexes)


class LateNamespaces:
    def __init__(self, inside: NamespaceAdmin) -> None:
        self._inside = inside

    async def change(self, name: str, change: NamespaceChange) -> ChangedNamespace:
        await _turns()
        return await self._inside.change(name, change)

    async def delete(self, name: str) -> None:
        await _turns()
        await self._inside.delete(name)


class LateEvents:
    def __init__(self, inside: EventAdmin) -> None:
        self._inside = inside

    async def find(self, event_id: str, *, namespace: str = "") -> Sequence[StoredEvent]:
        await _turns()
        return await self._inside.find(event_id, namespace=namespace)

    async def page(
        self, wanted: Filter, *, before: int | None = None, older_than: int | None = None, limit: int
    ) -> EventPage:
        await _turns()
        return await self._inside.page(wanted, before=before, older_than=older_than, limit=limit)

    async def subjects(self, wanted: Filter, *, after: str, limit: int) -> SubjectPage:
        await _turns()
        return await self._inside.subjects(wanted, after=after, limit=limit)

    async def delete_matching(self, wanted: Filter, *, before: int | None = None, older_than: int | None = None) -> int:
        await _turns()
        return await self._inside.delete_matching(wanted, before=before, older_than=older_than)

    async def delete_one(self, event: StoredEvent) -> int:
        await _turns()
        return await self._inside.delete_one(event)


class LateSchedules:
    def __init__(self, inside: ScheduleAdmin) -> None:
        self._inside = inside

    async def add(self, draft: Draft, *, due: int, now: int) -> Scheduled:
        await _turns()
        return await self._inside.add(draft, due=due, now=now)

    async def set(self, name: str, recurring: Recurring, *, now: int) -> ScheduleDescription:
        await _turns()
        return await self._inside.set(name, recurring, now=now)

    async def page(self, wanted: Callable[[str], bool], *, after: str = "", limit: int) -> SchedulePage:
        await _turns()
        return await self._inside.page(wanted, after=after, limit=limit)

    async def describe_one(self, schedule_id: str) -> ScheduleDescription:
        await _turns()
        return await self._inside.describe_one(schedule_id)

    async def cancel(self, schedule_id: str) -> None:
        await _turns()
        await self._inside.cancel(schedule_id)


class LateEngine:
    """*inside*, later."""

    def __init__(self, inside: Engine, loop: AbstractEventLoop) -> None:
        self.namespace_admin = LateNamespaces(inside.namespace_admin)
        self.consumers = LateAdmin(inside.consumers)
        self.events = LateEvents(inside.events)
        self.schedules = LateSchedules(inside.schedules)
        self._inside = inside
        self._later = Later(loop)

    @property
    def failure(self) -> BusError | None:
        return self._inside.failure

    def publish(
        self,
        drafts: Sequence[Draft],
        publisher: Publisher,
        *,
        atomic: bool = True,
        expected: Expected | None = None,
        now: int,
    ) -> None:
        late = LatePublisher(publisher, self._later)

        def publish() -> None:
            self._inside.publish(drafts, late, atomic=atomic, expected=expected, now=now)

        self._later.attempt(publish, publisher.failed)

    def subscribe(self, wanted: Subscribe, sink: Sink, opening: Opening) -> None:
        open_sink = OpenSink(sink)
        late = LateOpening(opening, open_sink, self._later)
        self._later.attempt(lambda: self._inside.subscribe(wanted, open_sink, late), opening.refused)

    def acknowledge(self, ack: Acknowledge, settled: Settled) -> None:
        self._later.attempt(lambda: self._inside.acknowledge(ack, self._later.tell(settled)), settled)

    def await_reply(self, inbox: str, replied: Replied) -> None:
        self._inside.await_reply(inbox, self._later.tell(replied))

    def forget_reply(self, inbox: str) -> None:
        self._later.do(self._inside.forget_reply, inbox)

    def await_confirmations(self, namespace: str, changed: Callable[[Sequence[str]], None]) -> AwaitedConfirmations:
        return LateConfirmations(self._inside.await_confirmations(namespace, self._later.tell(changed)), self._later)

    async def namespaces(self) -> Sequence[NamespaceDescription]:
        await _turns()
        return await self._inside.namespaces()

    async def latencies(self) -> Sequence[Latencies]:
        await _turns()
        return await self._inside.latencies()

    async def counts(self) -> EngineCounts:
        await _turns()
        return await self._inside.counts()

    async def nodes(self) -> Sequence[ClusterNode] | None:
        await _turns()
        return await self._inside.nodes()

    def retain(self, *, now: int) -> None:
        self._inside.retain(now=now)

    def stop(self, idle: Callable[[], None]) -> None:
        self._later.do(self._inside.stop, self._later.tell(idle))
