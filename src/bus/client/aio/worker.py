"""A worker loop on tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol, cast

from bus.client.aio.delivery import AsyncDelivery
from bus.client.aio.stream import AsyncStream
from bus.client.core.decode import UndecodableEventError
from bus.client.core.jobs import Jobs
from bus.client.core.query import Duration, Start
from bus.client.core.signals import stopping_on_signals
from bus.client.core.worker_plan import Plan, announce_stop, describe, rejection, report, report_stale
from bus.errors import BusError, InvalidEventError

AsyncHandler = Callable[[AsyncDelivery], Awaitable[Any]]
"""What is called with each event and awaited; a result other than None answers a request."""


class Subscribing(Protocol):
    """What a worker needs of a client."""

    @property
    def get(self) -> Callable[..., AsyncStream]:
        """Subscribe, as `AsyncClient.get` does."""


class AsyncWorker:
    """Handles the events of a durable consumer, several at once, each in a task.

    It does what [Worker][bus.Worker] does. Cancelling `run` cancels what is running; those events go to others
    at once.

    Parameters:
        client: the client to subscribe with.
        subject: a pattern, or several of one namespace.
        handler: a coroutine function, called with each event.
        consumer: the name of the durable consumer.
        concurrency: handlers that run at once, and events on their way to this worker.
        order: with ``"key"`` no two events of one key are handled at once, by any worker of this consumer.
        start: where a consumer that is new begins, as in `Client.get`.
        redelivery: seconds, or text such as ``"30s"``, after which others get the events of a worker that died.
        redelivery_count: attempts in all before an event goes to the dead letters; 0 for no limit.
        backoff: seconds, or text, until the second, third, … attempt; the last one repeats.
        signals: stop on SIGTERM and SIGINT, if `run` is called in the main thread and the program handles them
            nowhere else; False leaves them alone.
    """

    def __init__(
        self,
        client: Subscribing,
        subject: str | Sequence[str],
        handler: AsyncHandler,
        *,
        consumer: str,
        concurrency: int = 8,
        order: Literal["key"] | None = None,
        start: Start = "oldest",
        redelivery: Duration = "30s",
        redelivery_count: int = 5,
        backoff: Sequence[Duration] = ("1s", "5s", "30s"),
        signals: bool = True,
    ) -> None:
        self._client = client
        self._subject = subject
        self._handler = handler
        self._consumer = consumer
        self._concurrency = concurrency
        self._order = order
        self._start = start
        self._redelivery = redelivery
        self._redelivery_count = redelivery_count
        self._plan = Plan.make(redelivery, backoff)
        self._signals = signals
        self._jobs: Jobs[AsyncDelivery] = Jobs(redelivery=self._plan.redelivery)
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(concurrency)
        self._stopped = asyncio.Event()
        self._cancelled = False

    async def run(self) -> None:
        """Work until `stop` is called, or SIGTERM or SIGINT comes (see *signals*).

        Then what is running is finished, what was not begun goes back, and this returns.

        Raises:
            BusError: what ends the subscription for good, such as `UnknownNamespaceError` or
                `ConsumerMismatchError`.
        """
        loop = asyncio.get_running_loop()
        with stopping_on_signals(lambda: loop.call_soon_threadsafe(self.stop), wanted=self._signals):
            async with self._subscribe() as stream:
                stream.serve(self._jobs)
                await self._work(stream)

    def stop(self) -> None:
        """Have `run` finish what is running and return."""
        self._stopped.set()

    def _subscribe(self) -> AsyncStream:
        return self._client.get(
            self._subject,
            start=self._start,
            ack="manual",
            consumer=self._consumer,
            order=self._order,
            prefetch=self._concurrency,
            redelivery=self._redelivery,
            redelivery_count=self._redelivery_count,
        )

    async def _work(self, stream: AsyncStream) -> None:
        ending = [asyncio.create_task(work) for work in (self._read(stream), self._stopped.wait())]
        beside = [asyncio.create_task(work) for work in (self._extend(), self._wake(stream))]
        try:
            ended, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            self._stopped.set()
            for helper in ending:
                helper.cancel()
            announce_stop(self._consumer, self._jobs.count)
            while self._tasks:
                await asyncio.wait(self._tasks)
            for helper in ended:
                helper.result()
        finally:
            self._cancelled = True
            for task in (*ending, *beside, *self._tasks):
                task.cancel()

    async def _read(self, stream: AsyncStream) -> None:
        while (taken := await _take(stream)) is not None:
            task = asyncio.create_task(self._handle(*taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, event: AsyncDelivery, problem: UndecodableEventError | None) -> None:
        async with self._slots:
            if self._stopped.is_set():
                if event.session.live:
                    await self._settle(event, event.nack(reason="the worker is stopping"))
            elif self._jobs.begin(event):
                try:
                    await self._run(event, problem)
                finally:
                    self._jobs.end(event)
            else:
                report_stale(event)

    async def _run(self, event: AsyncDelivery, problem: UndecodableEventError | None) -> None:
        """Await the handler, and say what came of it."""
        try:
            if problem is not None:
                raise problem
            result = await self._handler(event)
        except BaseException as error:
            if self._ends_by(error):
                raise
            await self._settle(event, self._fail(event, error))
        else:
            await self._settle(event, self._finish(event, result))

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
            report(event, error)

    async def _finish(self, event: AsyncDelivery, result: Any) -> None:
        if result is None or not event.response_subject:
            await event.ack()
            return
        try:
            await event.reply(result)
        except InvalidEventError as error:  # what the handler returned can't be JSON
            await self._fail(event, error)

    async def _fail(self, event: AsyncDelivery, error: BaseException) -> None:
        if reason := rejection(event, error):
            await event.reject(reason=reason)
        else:
            await event.nack(delay=self._plan.delay(event.attempts), reason=describe(error))

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(self._plan.extension)
            for event in self._jobs.running():
                with suppress(BusError):
                    if event.session.live:
                        await event.extend()

    async def _wake(self, stream: AsyncStream) -> None:
        while True:
            stream.wake()
            await asyncio.sleep(self._jobs.tick)

    def __repr__(self) -> str:
        return f"<AsyncWorker {self._consumer} on {self._subject}, {self._jobs.count} running>"


async def _take(stream: AsyncStream) -> tuple[AsyncDelivery, UndecodableEventError | None] | None:
    """The next event, with what is wrong with it if it can't be decoded; None at the end."""
    try:
        return await anext(stream), None
    except StopAsyncIteration:
        return None
    except UndecodableEventError as error:
        return cast(AsyncDelivery, error.event), error


def _in_task() -> bool:
    """Whether this is called by a task of a running loop, rather than while a coroutine is taken apart."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
