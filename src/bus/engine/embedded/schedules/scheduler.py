"""Appends the scheduled events of one namespace when they are due, each once.

    rest until the first is due ─▶ begin ─▶ already in the log? ─▶ append ─▶ settle ─▶ …
     ▲                                                               │
     └── added or cancelled, the clock was set, or after a failure ◀─┘

1. *begin*: the rows of those that are due say that they are begun, and from which index on.
2. What was begun before, by this server or one that crashed, is looked for in the log from that index on.
3. What isn't there is appended, as its publisher would have.
4. *settle*: what is stored is gone from the file, or waits for its next time; what isn't stored waits again.

A crash before 3 leaves rows to look for; one between 3 and 4 leaves rows that are found. Times are those of the wall
clock, which can be set: nobody says when, so it is read every few seconds while something waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Sequence
from typing import Protocol

from bus.engine.base import Outcome, Publisher
from bus.engine.embedded.schedules.schedule import KeptSchedule
from bus.engine.embedded.schedules.store import Begun, ScheduleStore
from bus.engine.embedded.schedules.transactions import T, Transactions
from bus.engine.guard import as_bus_error
from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import find
from bus.errors import BusError, DuplicateKeyError, InvalidError, StoppingError
from bus.event import Draft
from bus.units import SECOND_NS
from bus.wire import Durability

log = logging.getLogger("bus.engine")

TOGETHER = 256
"""Events that are appended at a time: a few milliseconds of the loop."""

CLOCK_SECONDS = 5.0
"""How long the clock isn't looked at while something waits."""

RETRY_SECONDS = 5.0
"""How long events wait that couldn't be stored."""


class Publish(Protocol):
    """Stores events each by itself, as a namespace does. Raises a `BusError` if it takes none."""

    def __call__(self, drafts: Sequence[Draft], publisher: Publisher, *, now: int) -> None: ...


class Scheduler:
    """Keeps the schedules of *namespace* in *store*, and has *publish* store the events that are due."""

    def __init__(self, namespace: Namespace, publish: Publish, store: ScheduleStore, loop: AbstractEventLoop) -> None:
        self.namespace = namespace
        self._publish = publish
        self._store = store
        self._loop = loop
        self._transactions = Transactions(store, loop)
        self._changed = asyncio.Event()
        self._stopping = False
        self._ending: BusError = StoppingError("the server is stopping: try again when it is back")
        self._task: Task[None] | None = None
        if store.exists:
            self._start()

    @property
    def failure(self) -> BusError | None:
        """Why no events can be scheduled, None if they can."""
        return self._store.failure

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever scheduled here."""
        return not self._store.exists

    async def run(self, work: Callable[[ScheduleStore], T]) -> T:
        """Do *work* on the store, and look anew at what is due. Raises a `StorageError` and what *work* raises."""
        if self._stopping:
            raise self._ending
        found = await self._transactions.run(work)
        self._start()
        self._changed.set()
        return found

    # -- what is due

    def _start(self) -> None:
        if self._task is None:
            self._task = self._loop.create_task(self._serve())

    async def _serve(self) -> None:
        while not self._stopping:
            self._changed.clear()
            await self._rest(await self._attempt())

    async def _rest(self, seconds: float | None) -> None:
        """Wait *seconds*, or for ever, but no longer than until something changes."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _attempt(self) -> float | None:
        """Append what is due; returns for how many seconds nothing is to be done, None for nothing at all."""
        try:
            return await self._append_due()
        except Exception as error:
            log.error("namespace %s: scheduled events wait: %s", self.namespace.name, as_bus_error(error, "scheduling"))
            return RETRY_SECONDS

    async def _append_due(self) -> float | None:
        now, next_index = time.time_ns(), self.namespace.next
        begun = await self._transactions.run(lambda store: store.begin(now=now, next_index=next_index, most=TOGETHER))
        if not begun:
            return await self._until_next()
        stored: list[KeptSchedule] = []
        refused: list[KeptSchedule] = []
        waiting: list[KeptSchedule] = []
        for one in begun:
            (stored if self._is_settled(one, now=now) else waiting).append(one.schedule)
        for schedule, outcome in zip(waiting, await self._append(waiting), strict=True):
            (stored if _is_final(schedule, outcome) else refused).append(schedule)
        await self._transactions.run(lambda store: _settle(store, stored, refused, now=now))
        return RETRY_SECONDS if refused else 0

    async def _until_next(self) -> float | None:
        due = await self._transactions.run(ScheduleStore.next_due)
        return None if due is None else min(max(due - time.time_ns(), 0) / SECOND_NS, CLOCK_SECONDS)

    def _is_settled(self, begun: Begun, *, now: int) -> bool:
        """Whether there is nothing to append: the event is in the log already, or so late that it is skipped."""
        if begun.since and find(self.namespace, begun.schedule.event().id or "", since=begun.since) is not None:
            return True
        return begun.schedule.is_skipped(now=now)

    async def _append(self, schedules: Sequence[KeptSchedule]) -> Sequence[Outcome]:
        if not schedules:
            return ()
        waiting = _Waiting(self._loop)
        try:
            self._publish([schedule.event() for schedule in schedules], waiting, now=time.time_ns())
        except BusError as error:
            return [error] * len(schedules)
        return await waiting.outcomes

    # -- the end

    def stop(self, idle: Callable[[], None], *, ending: BusError | None = None) -> None:
        """Append no more; call *idle* when what is under way is settled.

        *ending* is what those are told who come later, unless it is that the server stops.
        """
        self._stopping, self._ending = True, ending or self._ending
        self._changed.set()
        if self._task is None:
            idle()
        else:
            self._task.add_done_callback(lambda _: idle())

    async def finish(self) -> None:
        """Wait for what was asked of the store before it stopped."""
        await self._transactions.run(lambda store: None)

    def close(self) -> None:
        """Close the store. Nothing may be under way."""
        if self._task:
            self._task.cancel()
        self._transactions.close()

    def __repr__(self) -> str:
        return f"<Scheduler of {self.namespace.name}>"


class _Waiting:
    """Waits for events to be stored; ``outcomes`` has what became of each."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self.outcomes: asyncio.Future[Sequence[Outcome]] = loop.create_future()

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self.outcomes.set_result(outcomes)

    def failed(self, error: BusError) -> None:
        self.outcomes.set_exception(error)


def _is_final(schedule: KeptSchedule, outcome: Outcome) -> bool:
    """Whether it needn't be tried again: it is stored, or it never will be, which is written down."""
    if not isinstance(outcome, BusError):
        return True
    level = logging.INFO if isinstance(outcome, DuplicateKeyError) else logging.ERROR
    log.log(level, "scheduled event %s isn't stored: %s", schedule.id, outcome)
    return isinstance(outcome, DuplicateKeyError | InvalidError)


def _settle(store: ScheduleStore, stored: Sequence[KeptSchedule], refused: Sequence[KeptSchedule], *, now: int) -> None:
    for schedule in stored:
        if following := schedule.following(now=now):
            store.wait_again(following)
        else:
            store.remove(schedule.id)
    for schedule in refused:
        store.wait_again(schedule)
