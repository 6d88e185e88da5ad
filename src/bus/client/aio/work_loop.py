"""A worker loop on tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Protocol

from bus.client.aio.delivery import AsyncDelivery
from bus.client.aio.handling import AsyncHandler, AsyncHandling
from bus.client.aio.stream import AsyncStream
from bus.client.aio.tracing import traced
from bus.client.core.decode import UndecodableEventError
from bus.client.core.get_options import GetOptions
from bus.client.core.jobs import Jobs
from bus.client.core.signals import stopping_on_signals
from bus.client.core.worker_plan import WorkPlan, announce_stop, report_stale, report_unsettled
from bus.errors import BusError


class AsyncSubscribing(Protocol):
    """What a worker needs of a client."""

    def subscribe(self, options: GetOptions) -> AsyncStream:
        """Subscribe, as `AsyncClient.get` does."""


class AsyncWorkLoop:
    """What an `AsyncWorker` runs: tasks that read, ask for more time and look at the clock, and one for each event."""

    def __init__(self, client: AsyncSubscribing, handler: AsyncHandler, plan: WorkPlan) -> None:
        self._client = client
        self._handler = self._call = handler
        self._plan = plan
        self._handling = AsyncHandling(plan)
        self._jobs: Jobs[AsyncDelivery] = Jobs(redelivery=plan.lease)
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(plan.concurrency)
        self._stopped = asyncio.Event()
        self._cancelled = False

    async def run(self) -> None:
        """What `AsyncWorker.run` does."""
        loop = asyncio.get_running_loop()
        with stopping_on_signals(lambda: loop.call_soon_threadsafe(self.stop), wanted=self._plan.signals):
            async with self._client.subscribe(self._plan.subscription) as stream:
                stream.serve(self._jobs)
                self._call = traced(self._handler, stream.spans)
                await self._work(stream)

    def stop(self) -> None:
        """Have `run` finish what is running and return."""
        self._stopped.set()

    async def _work(self, stream: AsyncStream) -> None:
        ending = [asyncio.create_task(work) for work in (self._read(stream), self._stopped.wait())]
        beside = [asyncio.create_task(work) for work in (self._extend(), self._wake(stream))]
        try:
            ended, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            self._stopped.set()
            for helper in ending:
                helper.cancel()
            announce_stop(self._plan.consumer, self._jobs.count)
            while self._tasks:
                await asyncio.wait(self._tasks)
            for helper in ended:
                helper.result()
        finally:
            self._cancelled = True
            for task in (*ending, *beside, *self._tasks):
                task.cancel()

    async def _read(self, stream: AsyncStream) -> None:
        while (taken := await self._handling.take(stream)) is not None:
            task = asyncio.create_task(self._handle(*taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, event: AsyncDelivery, problem: UndecodableEventError | None) -> None:
        async with self._slots:
            again: AsyncDelivery | None = event
            while again is not None:
                again = await self._attempt(again, problem)

    async def _attempt(self, event: AsyncDelivery, problem: UndecodableEventError | None) -> AsyncDelivery | None:
        """Handle one delivery; returns the next one of its event if that is here already."""
        again = None
        if self._stopped.is_set():
            await self._settle(event, self._handling.give_back(event))
        elif self._jobs.begin(event):
            try:
                await self._run(event, problem)
            finally:
                again = self._jobs.end(event)
        else:
            report_stale(event)
        return again

    async def _run(self, event: AsyncDelivery, problem: UndecodableEventError | None) -> None:
        """Await the handler, and say what came of it."""
        try:
            if problem is not None:
                raise problem
            result = await self._call(event)
        except BaseException as error:
            if self._ends_by(error):
                raise
            await self._settle(event, self._handling.raised(event, error))
        else:
            await self._settle(event, self._handling.returned(event, result))

    def _ends_by(self, error: BaseException) -> bool:
        """Whether *error* came from outside of the handler: `run` is cancelled, the loop is closed, Ctrl-C again."""
        if isinstance(error, asyncio.CancelledError):
            return self._cancelled
        if isinstance(error, GeneratorExit):
            return not _in_task()
        return isinstance(error, KeyboardInterrupt) and self._stopped.is_set()

    async def _settle(self, event: AsyncDelivery, said: Awaitable[None]) -> None:
        try:
            await said
        except BusError as error:
            report_unsettled(event, error)

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(self._jobs.extension)
            await self._handling.extend(self._jobs.running())

    async def _wake(self, stream: AsyncStream) -> None:
        while True:
            stream.wake()
            await asyncio.sleep(self._jobs.tick)

    def __repr__(self) -> str:
        return f"{self._plan.consumer} on {','.join(self._plan.subjects)}, {self._jobs.count} running"


def _in_task() -> bool:
    """Whether this is called by a task of a running loop, rather than while a coroutine is taken apart."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
