"""A server that is watched on an event loop."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

from bus.client.aio.callbacks import looked_at, weakly
from bus.client.aio.connection import AsyncConnection, AsyncPool
from bus.client.core import forks
from bus.client.core.outcomes import check
from bus.client.core.request import Requests
from bus.client.core.response import ResponseReader
from bus.client.core.retry import Retry
from bus.client.core.stream import reconnects
from bus.client.core.watch import PATH, Counts, WatchState
from bus.errors import BusError, ConnectionFailedError, TimedOutError


class AsyncWatch:
    """What a server counts, again and again; made by `AsyncClient.watch`.

    It begins with the first counts asked for, and reconnects by itself. One task may iterate it.
    """

    def __init__(self, state: WatchState, *, requests: Requests, pool: AsyncPool, patience: float) -> None:
        self._state = state
        self._requests = requests
        self._pool = pool
        self._patience = patience
        self._connection: AsyncConnection | None = None
        self._over: asyncio.Future[None] | None = None
        self._news = asyncio.Event()
        self._begun = False
        self._closed = False
        forks.on_fork(self._forked)

    def __aiter__(self) -> AsyncWatch:
        return self

    async def __anext__(self) -> Counts:
        """Wait for the next counts.

        Returns:
            All there is, as it is now.

        Raises:
            StopAsyncIteration: there is no more to come, or it was closed.
            BusError: what can't get better by reconnecting, such as `ForbiddenError`.
        """
        while not self._closed:
            counts = self._state.pop()
            if counts is not None:
                return counts
            if self._state.finished:
                break
            await self._advance()
        await self.close()
        raise StopAsyncIteration

    async def _advance(self) -> None:
        """Wait for what the connection brings next, or make one."""
        if not self._begun:
            await self._open()
            return
        try:
            if self._connection is None:
                await self._reconnect()
            else:
                await self._receive(self._connection)
        except BusError as error:
            await self._lose(error)

    async def _open(self) -> None:
        clock = asyncio.get_running_loop().time
        retry = Retry(deadline=clock() + self._patience, repeatable=True, renew=self._requests.renew)
        while self._connection is None and not self._closed:
            try:
                await self._connect()
            except BusError as error:
                self._disconnect()
                await asyncio.sleep(retry.delay(error, now=clock()))
        self._begun = True

    async def _reconnect(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._state.backoff.next()):
                await self._news.wait()  # which only closing can bring now
        if not self._closed:
            self._requests.renew()
            await self._connect()

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._subscribe(await self._pool.connect())
        except BusError:
            raise
        except TimeoutError:
            raise TimedOutError(f"{self._requests.endpoint} told no counts in time") from None

    async def _subscribe(self, connection: AsyncConnection) -> None:
        self._connection = connection
        request = self._requests.subscribe(self._state.query, path=PATH)
        # The connection knows this only weakly, so that one which nobody holds any more is closed.
        self._over = over = connection.send(request, heard=weakly(self._hear))
        over.add_done_callback(weakly(self._end))
        over.add_done_callback(looked_at)
        while not (over.done() or self._state.stands):
            self._news.clear()
            await self._news.wait()
        if over.done():
            over.result()
        if connection.reader.head and connection.reader.head.status != 200:
            check(connection.reader.response())

    async def _receive(self, connection: AsyncConnection) -> None:
        if self._over is not None and self._over.done():
            self._over.result()
            raise ConnectionFailedError("the server closed the stream")
        self._news.clear()
        silence = self._state.silence
        try:
            async with asyncio.timeout_at(connection.heard_at + silence):
                await self._news.wait()
        except TimeoutError:
            if asyncio.get_running_loop().time() >= connection.heard_at + silence:
                raise ConnectionFailedError(f"the stream was silent for {silence:g}s") from None

    def _hear(self, reader: ResponseReader) -> None:
        """Bytes have come. Raises `NotBusError` or `TooLargeError`, which break the connection."""
        connection = self._connection
        if connection is None or reader is not connection.reader:
            return
        if reader.head is not None and reader.head.status == 200:
            if not self._state.listening:
                self._state.connected(reader.head)
            self._state.feed(reader.take_body())
        self._news.set()

    def _end(self, over: asyncio.Future[None]) -> None:
        """The connection has ended."""
        if over is self._over:
            self._news.set()

    async def _lose(self, error: BusError) -> None:
        """The connection broke: try another one later, or raise *error* if that can't help."""
        self._disconnect()
        if self._closed or self._state.finished:
            return
        if not reconnects(error):
            await self.close()
            raise error
        self._state.backoff.heed(error)

    def _disconnect(self) -> None:
        connection, self._connection, self._over = self._connection, None, None
        if connection is not None:
            connection.close()
        self._state.disconnected()

    async def close(self) -> None:
        """Watch no more. May be called more than once."""
        self._closed = True
        self._disconnect()
        self._news.set()

    def _forked(self) -> None:
        """A child has neither the loop nor a right to the connection."""
        forks.keep((self._connection, self._over))
        self._connection = self._over = None
        self._news = asyncio.Event()
        self._state.disconnected()

    async def __aenter__(self) -> AsyncWatch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None:
            with suppress(RuntimeError):  # the loop has been closed, and with it the connection
                connection.close()

    def __repr__(self) -> str:
        return f"<AsyncWatch of {self._requests.endpoint}, {'closed' if self._closed else self._state}>"
