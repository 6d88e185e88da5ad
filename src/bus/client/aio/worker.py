"""A worker loop on tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol

from bus.client.aio.stream import AsyncDelivery, AsyncStream
from bus.client.core.query import Duration, Start
from bus.client.core.work import Plan, announce_stop, describe, rejection, report, stopping_on_signals
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
        self._running: dict[asyncio.Task[None], AsyncDelivery] = {}
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` is called, or SIGTERM or SIGINT comes if this is the main thread.

        Then what is running is finished, what was not begun goes back, and this returns.

        Raises:
            BusError: what ends the subscription for good, such as `UnknownNamespaceError` or
                `ConsumerMismatchError`.
        """
        loop = asyncio.get_running_loop()
        with stopping_on_signals(lambda: loop.call_soon_threadsafe(self.stop)):
            async with self._subscribe() as stream:
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
        helpers = [asyncio.create_task(work) for work in (self._read(stream), self._extend(), self._stopped.wait())]
        try:
            ended, _ = await asyncio.wait(helpers, return_when=asyncio.FIRST_COMPLETED)
            for helper in helpers:
                helper.cancel()
            announce_stop(self._consumer, len(self._running))
            await self._finish_running()
            for helper in ended:
                helper.result()
        finally:
            for task in (*helpers, *self._running):
                task.cancel()

    async def _finish_running(self) -> None:
        extending = asyncio.create_task(self._extend())
        try:
            while self._running:
                await asyncio.wait(self._running)
        finally:
            extending.cancel()

    async def _read(self, stream: AsyncStream) -> None:
        async for event in stream:
            task = asyncio.create_task(self._handle(event))
            self._running[task] = event
            task.add_done_callback(self._running.pop)

    async def _handle(self, event: AsyncDelivery) -> None:
        try:
            result = await self._handler(event)
        except Exception as error:
            await self._settle(event, self._fail(event, error))
        else:
            await self._settle(event, self._finish(event, result))

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

    async def _fail(self, event: AsyncDelivery, error: Exception) -> None:
        if reason := rejection(event, error):
            await event.reject(reason=reason)
        else:
            await event.nack(delay=self._plan.delay(event.attempts), reason=describe(error))

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(self._plan.extension)
            for event in list(self._running.values()):
                with suppress(BusError):
                    await event.extend()

    def __repr__(self) -> str:
        return f"<AsyncWorker {self._consumer} on {self._subject}, {len(self._running)} running>"
