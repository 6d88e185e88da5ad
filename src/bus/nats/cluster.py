"""The servers of a cluster as one: a connection to any of them, and to another when it is lost.

     connecting ──▶ connected ──lost──▶ reconnecting ──back──▶ connected ──▶ closed

Subscriptions outlive connections: all are made again before anybody is told that a server is back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from bus.nats.address import Address
from bus.nats.connection import Connection, Options, ServerInfo, open_connection
from bus.nats.errors import (
    CannotConnectError,
    ConnectionLostError,
    DisconnectedError,
    PayloadTooLargeError,
    RefusedError,
    UnauthorizedError,
)
from bus.nats.message import Message

SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds between two rounds through all servers, doubled after each."""

Handler = Callable[[Message], None]


class Listener(Protocol):
    """Who is told how the cluster fares."""

    def lost(self, error: ConnectionLostError) -> None: ...
    def back(self) -> None: ...
    def refused(self, error: RefusedError) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Subscription:
    """Messages of one pattern, handed to *handler*; of those with equal *queue* one gets each."""

    sid: bytes
    subject: str
    queue: str
    handler: Handler

    @property
    def command(self) -> bytes:
        """What asks a server for it."""
        return b"SUB %b %b %b\r\n" % (self.subject.encode(), self.queue.encode(), self.sid)


class Cluster:
    """A connection to one of *servers*, and whoever listens to what becomes of it."""

    def __init__(self, servers: Sequence[Address], options: Options) -> None:
        self._servers = tuple(servers)
        self._options = options
        self._subscriptions: dict[bytes, Subscription] = {}
        self._listeners: list[Listener] = []
        self._next_sid = 0
        self._connection: Connection | None = None
        self._reconnecting: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def info(self) -> ServerInfo:
        """What the connected server says of itself. Raises `DisconnectedError`."""
        return self._require().info

    @property
    def address(self) -> Address:
        """The server that is connected. Raises `DisconnectedError`."""
        return self._require().address

    @property
    def congested(self) -> bool:
        """Whether more is written than the server takes: who can wait should, for `drained`."""
        return self._connection is not None and self._connection.congested

    @property
    def unsent(self) -> int:
        """Bytes that the server has yet to take."""
        return self._connection.unsent if self._connection else 0

    def listen(self, listener: Listener) -> None:
        """Tell *listener* what becomes of the connection, after those who came before."""
        self._listeners.append(listener)

    def ignore(self, listener: Listener) -> None:
        """Tell *listener* no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def connect(self) -> None:
        """Connect to the first server that answers. Raises `CannotConnectError` with what the last one said."""
        order = random.sample(self._servers, len(self._servers))
        self._adopt(await self._first_of(order))

    async def close(self) -> None:
        """Send what is written, disconnect, and tell nobody."""
        self._listeners.clear()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            with suppress(asyncio.CancelledError):
                await self._reconnecting
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def publish(self, subject: str, payload: bytes = b"", *, reply: str = "", headers: bytes = b"") -> None:
        """Send a message; nobody says whether it arrives. Neither subject nor reply holds a space or line break.

        Raises `DisconnectedError`, or `PayloadTooLargeError`, which counts the headers too.
        """
        connection, size = self._connection, len(headers) + len(payload)
        if connection is None:
            raise DisconnectedError
        if size > connection.info.max_payload:
            raise PayloadTooLargeError(subject, size, connection.info.max_payload)
        if headers:
            head = f"HPUB {subject} {reply} {len(headers)} {size}\r\n".encode()
        else:
            head = f"PUB {subject} {reply} {size}\r\n".encode()
        connection.write(b"%b%b%b\r\n" % (head, headers, payload))

    def subscribe(self, subject: str, handler: Handler, *, queue: str = "") -> Subscription:
        """Have *handler* called with each message of *subject*, over all reconnects until `unsubscribe`."""
        self._next_sid += 1
        subscription = Subscription(b"%d" % self._next_sid, subject, queue, handler)
        self._subscriptions[subscription.sid] = subscription
        if self._connection is not None:
            self._connection.write(subscription.command)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Call its handler no more."""
        if self._subscriptions.pop(subscription.sid, None) and self._connection is not None:
            self._connection.write(b"UNSUB %b\r\n" % subscription.sid)

    async def flush(self) -> None:
        """Return when the server has read all that was written. Raises `ConnectionLostError`."""
        done = asyncio.get_running_loop().create_future()
        connection = self._require()
        connection.ping(lambda: None if done.done() else done.set_result(None))
        while not done.done():
            if not connection.open:
                raise ConnectionLostError(f"lost the connection to {connection.address}")
            await asyncio.wait([done], timeout=self._options.beat)

    async def drained(self) -> None:
        """Return when the connection isn't congested."""
        if self._connection is not None:
            await self._connection.drained()

    # What follows is called by connections.

    def delivered(self, sid: bytes, message: Message) -> None:
        subscription = self._subscriptions.get(sid)
        if subscription is not None:  # else it was unsubscribed while this was on its way
            subscription.handler(message)

    def refused(self, error: RefusedError) -> None:
        for listener in tuple(self._listeners):
            listener.refused(error)

    def disconnected(self, connection: Connection, error: ConnectionLostError) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        self._reconnecting = asyncio.get_running_loop().create_task(self._reconnect(connection.address))
        for listener in tuple(self._listeners):
            listener.lost(error)

    async def _reconnect(self, left: Address) -> None:
        others = [server for server in self._servers if server != left]
        order = [*random.sample(others, len(others)), left]
        for pause in _pauses():
            try:
                connection = await self._first_of(order)
            except CannotConnectError:
                await asyncio.sleep(pause * random.uniform(0.5, 1))
            else:
                self._adopt(connection)
                return

    async def _first_of(self, servers: Sequence[Address]) -> Connection:
        failed = CannotConnectError("there is no server to connect to")
        for server in servers:
            try:
                return await open_connection(server, self, self._options)
            except UnauthorizedError:
                raise
            except CannotConnectError as error:
                failed = error
        raise failed

    def _adopt(self, connection: Connection) -> None:
        self._connection = connection
        self._reconnecting = None
        for subscription in self._subscriptions.values():
            connection.write(subscription.command)
        for listener in tuple(self._listeners):
            listener.back()

    def _require(self) -> Connection:
        if self._connection is None:
            raise DisconnectedError
        return self._connection


def _pauses() -> Iterator[float]:
    pause = SHORTEST_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)
