"""A subscription on an event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any
from weakref import WeakMethod

from bus.client.aio.connection import Connection, Pool
from bus.client.core.answer import check
from bus.client.core.delivery import Delivered, settles, too_late
from bus.client.core.query import Duration
from bus.client.core.request import Acknowledgement, Requests, fitting_ids
from bus.client.core.response import ResponseReader
from bus.client.core.retry import Retry
from bus.client.core.stream import SILENCE, StreamState, reconnects
from bus.errors import BusError, ConnectionFailedError, TimedOutError
from bus.wire import CONSUMER_ID

log = logging.getLogger("bus.client")

MOST_HELD = 1 << 20
"""Bytes received and not taken yet at which the connection stops reading."""


class AsyncDelivery(Delivered, dict=True):
    """An event delivered to an `AsyncStream`.

    It has the fields of an [Event][bus.Event]; its methods do and raise what those of [Delivery][bus.Delivery] do.
    """

    async def ack(self) -> None:
        """Say that the event is done. It answers a publisher that waits for confirmation."""
        await self.session.stream.settle(self, self._acknowledged())

    async def reply(self, payload: Any) -> None:
        """Answer a request, and acknowledge it.

        Parameters:
            payload: anything msgspec can write as JSON.

        Raises:
            InvalidEventError: the event asks for no reply, or *payload* can't be written as JSON.
        """
        await self.session.stream.settle(self, self._replied(payload))

    async def nack(self, *, delay: Duration = 0, reason: str = "") -> None:
        """Have the event delivered again.

        Parameters:
            delay: seconds, or text such as ``"30s"``, until then.
            reason: why; kept with the dead letter if this was the last attempt.
        """
        await self.session.stream.settle(self, self._said("nack", delay=delay, reason=reason))

    async def extend(self, *, delay: Duration | None = None) -> None:
        """Ask for more time before redelivery.

        Parameters:
            delay: seconds from now, or text such as ``"1m"``; by default the redelivery time again.
        """
        await self.session.stream.settle(self, self._said("extend", delay=delay))

    async def reject(self, *, reason: str = "") -> None:
        """Give the event up: a durable consumer's goes to the dead letters, and who asked gets a `ServiceError`.

        Parameters:
            reason: why; kept with the dead letter, and the message of the requester's error.
        """
        await self.session.stream.settle(self, self._said("reject", reason=reason))


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
        pool: Pool,
        acknowledge: Callable[[Acknowledgement], Awaitable[None]],
        patience: float,
        timeout: float | None,
    ) -> None:
        self._state = state
        self._requests = requests
        self._pool = pool
        self._acknowledge = acknowledge
        self._patience = patience
        self._timeout = timeout
        self._connection: Connection | None = None
        self._over: asyncio.Future[None] | None = None
        self._news = asyncio.Event()
        self._held = 0
        self._begun = False
        self._closed = False

    @property
    def consumer_id(self) -> str:
        """The id the server gave to this connection, empty while there is none."""
        session = self._state.session
        return session.consumer_id if session else ""

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
            async with asyncio.timeout(self._timeout):
                while not self._closed:
                    event = self._state.pop()
                    if event is not None:
                        return event
                    if self._state.finished:
                        break
                    await self._advance()
        except TimeoutError:
            raise TimedOutError(f"no event on {self._state.query} within {self._timeout:g}s") from None
        await self.close()
        raise StopAsyncIteration

    async def _advance(self) -> None:
        """Wait for what the connection brings next, or make a new connection."""
        try:
            if self._connection is None:
                await self._reconnect()
            else:
                await self._receive(self._connection)
        except BusError as error:
            await self._lose(error)

    async def _receive(self, connection: Connection) -> None:
        if self._over is not None and self._over.done():
            self._over.result()
            raise ConnectionFailedError("the server closed the stream")
        self._held = 0
        connection.resume()
        self._news.clear()
        try:
            async with asyncio.timeout_at(connection.heard_at + SILENCE):
                await self._news.wait()
        except TimeoutError:
            if asyncio.get_running_loop().time() >= connection.heard_at + SILENCE:
                raise ConnectionFailedError(f"the stream was silent for {SILENCE:g}s") from None
        await self._acknowledge_repeated()

    async def _acknowledge_repeated(self) -> None:
        repeated, self._state.repeated = self._state.repeated, []
        for part in fitting_ids(repeated):
            await self._acknowledge(Acknowledgement(self.consumer_id, part))

    async def _lose(self, error: BusError) -> None:
        """The connection broke: try another one later, or raise *error* if that can't help."""
        self._disconnect()
        if self._closed or self._state.finished:
            return
        if not reconnects(error):
            await self.close()
            raise error
        log.info("stream of %s broke and will be taken up again: %s", self._state.query, error)

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
                await asyncio.sleep(retry.delay(error, now=clock()))

    async def _reconnect(self) -> None:
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._state.backoff.next()):
                await self._news.wait()  # which only closing can bring now
        if not self._closed:
            await self._connect(asyncio.get_running_loop().time() + self._patience)

    async def _connect(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._subscribe(await self._pool.connect())
        except TimeoutError:
            raise TimedOutError(f"no answer to the subscription to {self._state.query} in time") from None
        except asyncio.CancelledError:
            self._disconnect()
            raise

    async def _subscribe(self, connection: Connection) -> None:
        parameters, last_event_id = self._state.target()
        self._connection = connection
        # The connection knows the stream only weakly, so that one which is dropped is closed.
        over = connection.send(
            self._requests.subscribe(parameters, last_event_id=last_event_id), heard=_weakly(self._hear)
        )
        self._over = over
        over.add_done_callback(_weakly(self._end))
        over.add_done_callback(_looked_at)
        while not (over.done() or (connection.reader.head and connection.reader.head.status == 200)):
            self._news.clear()
            await self._news.wait()
        if over.done():
            over.result()
        if connection.reader.head and connection.reader.head.status != 200:
            check(connection.reader.response())

    def _hear(self, reader: ResponseReader) -> None:
        """Bytes have come."""
        connection = self._connection
        if connection is None or reader is not connection.reader:
            return
        if reader.head is not None and reader.head.status == 200:
            if self._state.session is None:
                self._state.connected(self, reader.head.header(CONSUMER_ID))
            data = reader.take_body()
            self._state.feed(data)
            self._held += len(data)
            if self._held >= MOST_HELD:
                connection.pause()
        self._news.set()

    def _end(self, over: asyncio.Future[None]) -> None:
        """The connection has ended."""
        if over is self._over:
            self._state.disconnected()
            self._news.set()

    async def settle(self, event: Delivered, said: Acknowledgement) -> None:
        """Say *said* about *event*; what came too late because the connection broke is made good later."""
        try:
            await self._acknowledge(said)
        except BusError as error:
            if self._closed or self._state.finished or not too_late(error, event.session):
                raise
            log.warning("%s of event %s came after its connection broke", said.action, event.id)
            if said.reply not in (b"", b"null"):
                return
        if settles(said):
            self._state.settled(event)

    def _disconnect(self) -> None:
        connection, self._connection, self._over = self._connection, None, None
        if connection is not None:
            connection.close()
        self._state.disconnected()

    async def close(self) -> None:
        """End the subscription. May be called more than once."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
        self._news.set()

    async def __aenter__(self) -> AsyncStream:
        await self.open()
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
        state = "closed" if self._closed else "open" if self._connection else "not connected"
        return f"<AsyncStream of {self._state.query}, {state}>"


def _looked_at(over: asyncio.Future[None]) -> None:
    """Keep asyncio from complaining that nobody asked how a dropped stream ended."""
    over.exception()


def _weakly(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """*method* for as long as its object lives."""
    found = WeakMethod(method)

    def call(argument: Any) -> None:
        if (alive := found()) is not None:
            alive(argument)

    return call
