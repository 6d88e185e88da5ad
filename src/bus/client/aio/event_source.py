"""The connection of a stream on an event loop, made again whenever it breaks."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from bus.client.aio.callbacks import looked_at, weakly
from bus.client.aio.connection import AsyncConnection, AsyncPool
from bus.client.core import forks
from bus.client.core.outcomes import check
from bus.client.core.request import Endpoint, Requests
from bus.client.core.response import ResponseReader
from bus.client.core.retry import Retry
from bus.client.core.source_state import SourceState
from bus.errors import BusError, ConnectionFailedError, TimedOutError


class AsyncEventSource:
    """Feeds *state* over one connection after the other, for one task.

    Making one may take *patience* seconds; *unanswered* says what didn't come within them. The connection knows its
    source only weakly, so that one which nobody holds any more is closed.
    """

    def __init__(
        self, state: SourceState, *, requests: Requests, pool: AsyncPool, patience: float, unanswered: str
    ) -> None:
        self.closed = False
        self._state = state
        self._requests = requests
        self._pool = pool
        self._patience = patience
        self._unanswered = unanswered
        self._connection: AsyncConnection | None = None
        self._over: asyncio.Future[None] | None = None
        self._answered = False
        self._news = asyncio.Event()
        forks.on_fork(self._forked)

    @property
    def endpoint(self) -> Endpoint:
        return self._requests.endpoint

    @property
    def connected(self) -> bool:
        """Whether there is a connection, or one is being made."""
        return self._connection is not None

    async def open(self) -> None:
        """Connect for the first time. Raises what the server refuses that with, or that it can't be reached."""
        clock = asyncio.get_running_loop().time
        retry = Retry(deadline=clock() + self._patience, repeatable=True)
        while not (self.connected or self.closed):
            try:
                await self._connect(retry.deadline)
            except BusError as error:
                self._disconnect()
                await asyncio.sleep(retry.delay(error, now=clock()))

    async def advance(self) -> None:
        """Wait for what has come since the last time, or make a new connection.

        Raises what can't get better by that, and is closed then.
        """
        try:
            if self._connection is None:
                await self._reconnect()
            else:
                await self._receive(self._connection)
        except BusError as error:
            self._lose(error)

    # -- making a connection

    async def _reconnect(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._state.backoff.next()):
                await self._news.wait()  # which only closing can bring now
        if not self.closed:
            await self._connect(asyncio.get_running_loop().time() + self._patience)

    async def _connect(self, deadline: float) -> None:
        self._requests.renew()
        try:
            async with asyncio.timeout_at(deadline):
                await self._ask(await self._pool.connect())
        except BusError:
            raise
        except TimeoutError:
            raise TimedOutError(self._unanswered) from None
        except asyncio.CancelledError:
            self._disconnect()
            raise

    async def _ask(self, connection: AsyncConnection) -> None:
        request = self._state.request(self._requests)
        self._connection, self._answered = connection, False
        self._over = over = connection.send(request, heard=weakly(self._hear))
        over.add_done_callback(weakly(self._end))
        over.add_done_callback(looked_at)
        await self._stand(connection, over)

    async def _stand(self, connection: AsyncConnection, over: asyncio.Future[None]) -> None:
        """Wait until the stream stands. Raises what the server refuses it with."""
        while not (over.done() or self._state.stands):
            await self._listen()
        if over.done():
            over.result()
        if connection.reader.head and connection.reader.head.status != 200:
            check(connection.reader.response())
        if not (self._state.stands or self._state.finished):
            raise ConnectionFailedError("the server closed the stream before it had begun")

    # -- a connection that stands

    async def _receive(self, connection: AsyncConnection) -> None:
        if self._over is not None and self._over.done():
            self._over.result()
            raise ConnectionFailedError("the server closed the stream")
        connection.resume()
        silence = self._state.silence
        try:
            async with asyncio.timeout_at(connection.heard_at + silence):
                await self._listen()
        except TimeoutError:
            if asyncio.get_running_loop().time() >= connection.heard_at + silence:
                raise ConnectionFailedError(f"the stream was silent for {silence:g}s") from None

    async def _listen(self) -> None:
        """Wait for news; what came while nobody waited is news as well."""
        await self._news.wait()
        self._news.clear()

    def _hear(self, reader: ResponseReader) -> None:
        """Bytes have come. Raises what breaks the connection, as `SourceState.connected` and ``feed`` do."""
        connection = self._connection
        if connection is None or reader is not connection.reader:
            return
        if reader.head is not None and reader.head.status == 200:
            if not self._answered:
                self._state.connected(reader.head)
                self._answered = True
            self._state.feed(reader.take_body())
            if self._state.full:
                connection.pause()
        self._news.set()

    def _end(self, over: asyncio.Future[None]) -> None:
        """The connection has ended."""
        if over is self._over:
            self._state.disconnected()
            self._news.set()

    def fail(self, error: BusError) -> None:
        """Have the connection break by *error*."""
        if self._connection is not None:
            self._connection.fail(error)

    def _lose(self, error: BusError) -> None:
        """The connection broke: another one is made later, or *error* raised if that can't help."""
        self._disconnect()
        if self.closed or self._state.finished:
            return
        if not self._state.goes_on(error):
            self.close()
            raise error

    # -- the end

    def _disconnect(self) -> None:
        connection, self._connection, self._over = self._connection, None, None
        if connection is not None:
            connection.close()
        self._state.disconnected()

    def close(self) -> None:
        """Read no more. May be called more than once."""
        self.closed = True
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

    def __del__(self) -> None:
        self._state.closed()
        if self._connection is not None:
            with suppress(RuntimeError):  # the loop has been closed, and with it the connection
                self._connection.close()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self.connected else "not connected"
        return f"<AsyncEventSource of {self.endpoint}, {state}>"
