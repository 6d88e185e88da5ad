"""Connections on an event loop, and a pool of those that are idle."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from bus.client.core import forks
from bus.client.core.request import Endpoint, Write
from bus.client.core.response import Heard, Response, ResponseReader
from bus.client.core.retry import UNKNOWN_OUTCOME, Retry, broken, not_connected
from bus.errors import BusError, ConnectionFailedError, TimedOutError

if TYPE_CHECKING:
    from ssl import SSLContext

_T = TypeVar("_T")


class AsyncConnection(asyncio.Protocol):
    """One connection to a server, which carries one request at a time."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.reader = ResponseReader()
        self.heard_at = 0.0
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._answered: asyncio.Future[None] | None = None
        self._heard: Heard | None = None

    def send(self, request: bytes, *, heard: Heard | None = None) -> asyncio.Future[None]:
        """Send *request*, and show the reader to *heard* whenever a part of the answer has come.

        Returns what is done when the answer is complete, or fails with `ConnectionFailedError`.
        """
        self._answered = self._loop.create_future()
        self._heard = heard
        self.reader.expect()
        if self._transport is None:
            self.connection_lost(None)
        else:
            self._transport.write(request)
        return self._answered

    @property
    def reusable(self) -> bool:
        """Whether another request can be sent: the server has neither closed nor said that it will."""
        open_ = self._transport is not None and not self._transport.is_closing()
        # The loop may not have come round to telling that the server has closed.
        return open_ and self.reader.keep_alive and not self._poll.poll(0)

    def pause(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_reading():
            self._transport.resume_reading()
            self.heard_at = self._loop.time()  # the silence was ours

    def fail(self, error: BusError) -> None:
        """End what was asked by *error*."""
        self._finish(error)
        self.close()

    def close(self) -> None:
        if self._transport is not None and self._process == os.getpid():  # else it is the parent's
            self._transport.abort()

    # What follows is called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.heard_at = self._loop.time()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        if self._answered is None:  # nothing was asked
            self.close()
            return
        try:
            self.reader.feed(data)
            if self._heard is not None:
                self._heard(self.reader)
        except BusError as error:
            self.fail(error)
        if self.reader.complete:
            self._finish(None)

    def eof_received(self) -> None:
        """The server closed; the transport closes in turn and tells so by `connection_lost`."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answered is None:
            return
        try:
            self.reader.feed_eof()
            if self._heard is not None:
                self._heard(self.reader)
        except BusError as error:
            self._finish(broken(self._endpoint, exc) if exc and isinstance(error, ConnectionFailedError) else error)
        else:
            self._finish(None)

    def _finish(self, error: BusError | None) -> None:
        answered, self._answered, self._heard = self._answered, None, None
        if answered is None or answered.done():
            return
        if error is None:
            answered.set_result(None)
        else:
            answered.set_exception(error)

    def __repr__(self) -> str:
        return f"<AsyncConnection to {self._endpoint}, {self.reader!r}>"


async def _dial(endpoint: Endpoint, *, tls: SSLContext | None) -> AsyncConnection:
    """A new connection. Raises `NotConnectedError`."""
    loop = asyncio.get_running_loop()
    try:
        _, connection = await loop.create_connection(
            lambda: AsyncConnection(endpoint), endpoint.host, endpoint.port, ssl=tls
        )
    except (OSError, ValueError) as error:  # a ValueError is of a host that no name server could know
        raise not_connected(endpoint, error) from None
    return connection


class AsyncPool:
    """Connections to one server, at most *limit* at once; who finds them all in use waits for one."""

    def __init__(self, endpoint: Endpoint, *, limit: int, tls: SSLContext | None) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._limit = limit
        self._slots = asyncio.Semaphore(limit)
        self._idle: list[AsyncConnection] = []
        self._closed = False

    async def exchange(self, request: bytes, *, deadline: float, heard: Heard | None = None) -> ResponseReader:
        """Send *request* and return what has read the answer, complete. *deadline* is on the loop's clock.

        Raises `NotConnectedError`, `ConnectionFailedError`, `TimedOutError`.
        """
        try:
            async with asyncio.timeout_at(deadline), self._slots:
                return await self._exchange(request, heard)
        except BusError:
            raise
        except TimeoutError:
            raise TimedOutError(f"{self._endpoint} did not answer in time: {UNKNOWN_OUTCOME}") from None

    async def _exchange(self, request: bytes, heard: Heard | None) -> ResponseReader:
        connection = await self._take()
        try:
            await connection.send(request, heard=heard)
        except BaseException:
            connection.close()
            raise
        if self._closed or not connection.reusable:
            connection.close()
        else:
            self._idle.append(connection)
        return connection.reader

    async def _take(self) -> AsyncConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.close()
        return await self.connect()

    async def call(self, write: Write, read: Callable[[Response], _T], retry: Retry) -> _T:
        """Send what *write* writes until it is answered for good, as far as *retry* lets it.

        Returns what *read* makes of the answer.

        Raises what *read* raises, `NotConnectedError`, `ConnectionFailedError`, `TimedOutError`.
        """
        while True:
            try:
                return read((await self.exchange(write(), deadline=retry.deadline)).response())
            except BusError as error:
                await asyncio.sleep(retry.delay(error, now=asyncio.get_running_loop().time()))

    async def connect(self) -> AsyncConnection:
        """A connection outside the pool. Raises `NotConnectedError`."""
        if self._closed:
            raise BusError("the client is closed: make a new one")
        return await _dial(self._endpoint, tls=self._tls)

    def forked(self) -> None:
        """A child must not talk on the connections of its parent."""
        forks.keep(self._idle)
        self._idle = []
        self._slots = asyncio.Semaphore(self._limit)

    def close(self) -> None:
        """Close what is idle; what is in use closes when it is done."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def __repr__(self) -> str:
        return f"<AsyncPool of {len(self._idle)} idle connections to {self._endpoint}>"
