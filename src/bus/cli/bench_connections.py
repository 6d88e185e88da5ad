"""Connections that put load on a server, and what they measure.

They are plain asyncio protocols, because a client made for programs would be measured instead of the server.
"""

from __future__ import annotations

import asyncio
import math
import re
from abc import abstractmethod
from array import array
from collections.abc import Callable
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Any, cast

from bus.client.core.outcomes import check
from bus.client.core.request import Endpoint
from bus.client.core.response import ResponseReader
from bus.errors import BusError, ConnectionFailedError

if TYPE_CHECKING:
    from ssl import SSLContext

_MSG = b"\nevent: msg\n"
_SENT = re.compile(rb'"sent":(\d{1,19})')


def payload(size: int) -> bytes:
    """A payload of about *size* bytes that says when it was sent."""
    stamp = b'{"sent":%d,"fill":"' % time_ns()
    return stamp + b"x" * max(size - len(stamp) - 2, 0) + b'"}'


class Gauge:
    """What the connections of one load measure together: events, and latencies in seconds."""

    def __init__(self) -> None:
        self.events = 0
        self.latencies = array("d")
        self.stopped = False
        self._most = math.inf
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def count(self, events: int) -> None:
        """Add *events*, and end the measurement if they are enough."""
        self.events += events
        if self.events >= self._most and not self._over.done():
            self._over.set_result(None)

    def fail(self, error: BusError) -> None:
        """End the measurement with *error*, unless it has ended."""
        if not self.stopped and not self._over.done():
            self._over.set_exception(error)

    async def until(self, begun: asyncio.Event) -> None:
        """Wait for *begun*. Raises what a connection failed with."""
        waiting: asyncio.Future[Any] = asyncio.ensure_future(begun.wait())
        await asyncio.wait([waiting, self._over], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._over.done():
            self._over.result()

    async def run(self, seconds: float, *, most: float = math.inf) -> float:
        """Measure from now on for *seconds*, or until there are *most* events if that is sooner.

        Returns how many seconds it were. Raises what a connection failed with.
        """
        self.events = 0
        self.latencies = array("d")
        self._most = most
        begun = perf_counter()
        await asyncio.wait([self._over], timeout=seconds)
        self.stopped = True
        if self._over.done():
            self._over.result()
        return perf_counter() - begun

    def __repr__(self) -> str:
        return f"<Gauge {self.events} events, {len(self.latencies)} latencies>"


async def reach(endpoint: Endpoint, tls: SSLContext | None) -> None:
    """Connect and hang up, because a client tries again for seconds. Raises `ConnectionFailedError` at once."""
    transport = await _open(endpoint, tls, asyncio.Protocol())
    transport.abort()


async def _open(endpoint: Endpoint, tls: SSLContext | None, protocol: asyncio.Protocol) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    try:
        transport, _ = await loop.create_connection(lambda: protocol, endpoint.host, endpoint.port, ssl=tls)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConnectionFailedError(f"can't reach {endpoint}: {reason}; is the server running there?") from None
    return transport


class LoadConnection(asyncio.Protocol):
    """One connection under load: what it sends first, and what it does with the bytes that come."""

    transport: asyncio.Transport

    def __init__(self, gauge: Gauge) -> None:
        self.gauge = gauge
        self.reader = ResponseReader()

    async def connect(self, endpoint: Endpoint, tls: SSLContext | None) -> None:
        """Connect, over *tls* if that is given, and begin. Raises `ConnectionFailedError`."""
        await _open(endpoint, tls, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.begin()

    def data_received(self, data: bytes) -> None:
        try:
            self.reader.feed(data)
            self.take()
        except BusError as error:
            self.gauge.fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gauge.fail(ConnectionFailedError(f"the server closed a connection: {exc or 'it had enough'}"))

    @abstractmethod
    def begin(self) -> None:
        """The connection stands."""

    @abstractmethod
    def take(self) -> None:
        """The reader has taken in more. Raises the error that the server answered with."""


class Asker(LoadConnection):
    """Sends a request that *ask* makes, and the next one as soon as it is answered.

    Each counts for so many *events*; with 0, this is not what is measured.
    """

    def __init__(self, gauge: Gauge, ask: Callable[[], bytes], *, events: int = 1) -> None:
        super().__init__(gauge)
        self._ask = ask
        self._events = events
        self._asked = 0.0

    def begin(self) -> None:
        self.reader.expect()
        self._asked = perf_counter()
        self.transport.write(self._ask())

    def take(self) -> None:
        if not self.reader.complete:
            return
        if self._events:
            self.gauge.latencies.append(perf_counter() - self._asked)
        response = self.reader.response()
        check(response)
        if b'"error":' in response.body:
            raise BusError(f"an event was refused: {response.body.splitlines()[0].decode('utf-8', 'replace')}")
        self.gauge.count(self._events)
        if not self.gauge.stopped:
            self.begin()


class Listener(LoadConnection):
    """A subscription: counts the events of *request*'s stream, and for the last of every read how old it is."""

    def __init__(self, gauge: Gauge, request: bytes) -> None:
        super().__init__(gauge)
        self._request = request
        self._rest = b""
        self.subscribed = asyncio.Event()

    def begin(self) -> None:
        self.transport.write(self._request)

    def take(self) -> None:
        if self.reader.head is None:
            return
        if self.reader.head.status != 200:
            check(self.reader.response())
        self.subscribed.set()
        data = self._rest + self.reader.take_body()
        self._rest = data[1 - len(_MSG) :]
        count = data.count(_MSG)
        if count:
            self.gauge.count(count)
            last = data.rfind(b'"sent":')
            if found := _SENT.match(data, last):
                self.gauge.latencies.append((time_ns() - int(found[1])) / 1e9)
