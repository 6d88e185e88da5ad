"""A subscription on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType

from bus.client.aio.callbacks import looked_at, weakly
from bus.client.aio.connection import AsyncConnection, AsyncPool
from bus.client.aio.delivery import AsyncDelivery
from bus.client.core import forks
from bus.client.core.delivery import Delivered
from bus.client.core.handle_spans import HandleSpans
from bus.client.core.jobs import Jobs
from bus.client.core.outcomes import check
from bus.client.core.request import Acknowledgement, Requests
from bus.client.core.response import ResponseReader
from bus.client.core.retry import Retry
from bus.client.core.stream import StreamState, reconnects
from bus.errors import BusError, ConnectionFailedError, TimedOutError

MOST_HELD = 1 << 20
"""Bytes received and not taken yet at which the connection stops reading."""


class AsyncStream:
    """The events of a subscription, one after another; made by `AsyncClient.get`.

    The subscription begins with ``async with``, or with the first event asked for. It reconnects by itself
    and goes on where it was. One task may iterate it.
    """

    def __init__(
        self,
        state: StreamState[AsyncDelivery],
        *,
        requests: Requests,
        pool: AsyncPool,
        acknowledge: Callable[[Acknowledgement], Awaitable[None]],
        patience: float,
    ) -> None:
        self._state = state
        self._requests = requests
        self._pool = pool
        self._acknowledge = acknowledge
        self._patience = patience
        self._timeout = state.options.timeout
        self._connection: AsyncConnection | None = None
        self._over: asyncio.Future[None] | None = None
        self._news = asyncio.Event()
        self._held = 0
        self._begun = False
        self._closed = False
        forks.on_fork(self._forked)

    @property
    def consumer_id(self) -> str:
        """The id the server gave to this connection, empty while there is none."""
        connection = self._state.connection
        return connection.consumer_id if connection else ""

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> AsyncDelivery:
        """Wait for the next event.

        Returns:
            The event.

        Raises:
            StopAsyncIteration: the subscription has ended, or was closed.
            TimedOutError: none came within the stream's timeout; it may be called again.
            BusError: what can't get better by reconnecting, such as `UnknownNamespaceError`.
        """
        event = self._state.pop()
        return event if event is not None else await self._wait()

    async def _wait(self) -> AsyncDelivery:
        if not self._begun:
            await self.open()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                event = await self._find()
        except TimeoutError:
            if not limit.expired():
                raise  # it is an error of ours
            raise TimedOutError(f"no event on {self._state.options} within {self._timeout:g}s") from None
        if event is not None:
            return event
        await self.close()
        raise StopAsyncIteration

    async def _find(self) -> AsyncDelivery | None:
        """The next event, None at the end."""
        while not self._closed:
            event = self._state.pop()
            if event is not None or self._state.finished:
                return event
            await self._advance()
        return None

    async def _advance(self) -> None:
        """Wait for what the connection brings next, or make a new connection."""
        try:
            if self._connection is None:
                await self._reconnect()
            else:
                await self._receive(self._connection)
        except BusError as error:
            await self._lose(error)
        await self._say_late()

    async def _receive(self, connection: AsyncConnection) -> None:
        if self._over is not None and self._over.done():
            self._over.result()
            raise ConnectionFailedError("the server closed the stream")
        self._held = 0
        connection.resume()
        self._news.clear()
        await self._say_late()  # of what came while nobody waited
        silence = self._state.silence
        try:
            async with asyncio.timeout_at(connection.heard_at + silence):
                await self._news.wait()
        except TimeoutError:
            if asyncio.get_running_loop().time() >= connection.heard_at + silence:
                raise ConnectionFailedError(f"the stream was silent for {silence:g}s") from None

    async def _say_late(self) -> None:
        for said in self._state.late.due():
            try:
                await self._acknowledge(said)
            except BusError as error:
                self._state.late.failed(said, error)
            else:
                self._state.late.done(said)

    async def _lose(self, error: BusError) -> None:
        """The connection broke: try another one later, or raise *error* if that can't help."""
        self._disconnect()
        if self._closed or self._state.finished:
            return
        if not (reconnects(error) or self._state.yields(error)):
            await self.close()
            raise error
        self._state.report_lost(error)

    async def open(self) -> None:
        """Subscribe for the first time. Raises what the server refuses that with, or that it can't be reached."""
        clock = asyncio.get_running_loop().time
        retry = Retry(deadline=clock() + self._patience, repeatable=True)
        self._begun = True
        while self._connection is None and not self._closed:
            try:
                await self._connect(retry.deadline)
            except BusError as error:
                self._disconnect()
                if not self._state.yields(error):
                    await asyncio.sleep(retry.delay(error, now=clock()))

    async def _reconnect(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._state.backoff.next()):
                await self._news.wait()  # which only closing can bring now
        if not self._closed:
            await self._connect(asyncio.get_running_loop().time() + self._patience)

    async def _connect(self, deadline: float) -> None:
        self._requests.renew()
        try:
            async with asyncio.timeout_at(deadline):
                await self._subscribe(await self._pool.connect())
        except BusError:
            raise
        except TimeoutError:
            raise TimedOutError(f"no answer to the subscription to {self._state.options} in time") from None
        except asyncio.CancelledError:
            self._disconnect()
            raise
        self._state.report_standing()

    async def _subscribe(self, connection: AsyncConnection) -> None:
        parameters, last_event_id = self._state.target()
        self._connection = connection
        # The connection knows the stream only weakly, so that one which nobody holds any more is closed.
        over = connection.send(
            self._requests.subscribe(parameters, last_event_id=last_event_id), heard=weakly(self._hear)
        )
        self._over = over
        over.add_done_callback(weakly(self._end))
        over.add_done_callback(looked_at)
        await self._stand(connection, over)

    async def _stand(self, connection: AsyncConnection, over: asyncio.Future[None]) -> None:
        """Wait until the stream stands. Raises what the server refuses it with."""
        while not (over.done() or self._state.stands):
            self._news.clear()
            await self._news.wait()
        if over.done():
            over.result()
        if connection.reader.head and connection.reader.head.status != 200:
            check(connection.reader.response())
        if not self._state.stands:
            raise ConnectionFailedError("the server closed the stream before it had begun")

    def _hear(self, reader: ResponseReader) -> None:
        """Bytes have come. Raises `NotBusError`, `StoodStillError`, `TooLargeError`, which break the connection."""
        connection = self._connection
        if connection is None or reader is not connection.reader:
            return
        if reader.head is not None and reader.head.status == 200:
            if self._state.connection is None:
                self._state.connected(self, reader.head)
            self._take_in(connection)
        self._news.set()

    def _take_in(self, connection: AsyncConnection) -> None:
        if self._state.jobs is not None:
            self._state.jobs.wake()
        data = connection.reader.take_body()
        self._state.feed(data)
        self._held += len(data)
        if self._held >= MOST_HELD:
            connection.pause()

    def _end(self, over: asyncio.Future[None]) -> None:
        """The connection has ended."""
        if over is self._over:
            self._state.disconnected()
            self._news.set()

    async def settle(self, event: Delivered, said: Acknowledgement) -> None:
        """Say *said* about *event*; what can't be said because the connection broke is said when it comes again."""
        attempts = event.attempts
        try:
            await self._acknowledge(said)
        except BusError as error:
            if event.consumer_id != said.consumer_id:  # its job took a new delivery over meanwhile
                await self.settle(event, replace(said, consumer_id=event.consumer_id))
            elif self._closed or not self._state.put_off(event, said, error):
                raise
        else:
            self._state.settled(event, said, attempts=attempts)

    def trace(self, spans: HandleSpans) -> None:
        """Tell *spans* what becomes of the events."""
        self._state.spans = spans

    @property
    def spans(self) -> HandleSpans | None:
        """Who is told what becomes of the events, if somebody traces."""
        return self._state.spans

    # -- what a worker runs

    def serve(self, jobs: Jobs[AsyncDelivery]) -> None:
        """Have what comes from now on known to *jobs*, so that nothing is begun twice or too late."""
        self._state.serve(jobs)

    def wake(self) -> None:
        """Look at the clock: a loop that stood still can't tell how old what it finds is."""
        jobs = self._state.jobs
        if jobs is None:
            return
        if self._connection is None:
            jobs.rest()
            return
        try:
            jobs.wake()
        except BusError as error:
            self._connection.fail(error)

    # -- the end

    def _disconnect(self) -> None:
        connection, self._connection, self._over = self._connection, None, None
        if connection is not None:
            connection.close()
        self._state.disconnected()

    async def close(self) -> None:
        """End the subscription. May be called more than once."""
        self._closed = True
        self._state.closed()
        if self._connection is not None:
            self._connection.close()
        self._news.set()

    def _forked(self) -> None:
        """A child has neither the loop nor a right to the connection."""
        forks.keep((self._connection, self._over))
        self._connection = self._over = None
        self._news = asyncio.Event()
        self._state.forked()

    async def __aenter__(self) -> AsyncStream:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if hasattr(self, "_state"):
            self._state.closed()
        if connection is not None:
            with suppress(RuntimeError):  # the loop has been closed, and with it the connection
                connection.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._connection else "not connected"
        return f"<AsyncStream of {self._state.options}, {state}>"
