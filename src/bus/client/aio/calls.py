"""How the calls of a client travel: over which connections, together with which others, and how long."""
# ruff: noqa: ASYNC109  (a timeout given by the caller is part of the request and of the error it ends in)

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar
from weakref import WeakSet

from bus.client.aio.batching import Ack, AckGatherer, Put, PutGatherer
from bus.client.aio.connection import AsyncPool
from bus.client.aio.delivery import AsyncDelivery
from bus.client.aio.event_source import AsyncEventSource
from bus.client.aio.stream import AsyncStream
from bus.client.aio.watch import AsyncWatch
from bus.client.core import forks
from bus.client.core.draft import EventFields, OutgoingEvent, encode_batch, encode_draft_line, encode_event
from bus.client.core.get_options import GetOptions
from bus.client.core.outcomes import check, own_receipt, receipt_in
from bus.client.core.request import REPEATABLE, Acknowledgement, Method, Parameters, Requests, Write
from bus.client.core.response import Response
from bus.client.core.retry import MARGIN, Retry
from bus.client.core.source_state import SourceState
from bus.client.core.stream import StreamState
from bus.client.core.watch import WatchState
from bus.errors import BusError, DuplicateKeyError
from bus.event import Draft, Receipt

if TYPE_CHECKING:
    from ssl import SSLContext

SHORT_CALLS = 16
"""Connections for calls that are answered at once. They are apart from those that wait for others, because
what these wait for may be a reply that is sent from here."""

_T = TypeVar("_T")


class AsyncCalls:
    """What an `AsyncClient` does: its puts and acknowledgements gather, everything else goes by itself."""

    def __init__(self, requests: Requests, *, timeout: float, tls: SSLContext | None, max_connections: int) -> None:
        self._requests = requests
        self._pool = AsyncPool(requests.endpoint, limit=SHORT_CALLS, tls=tls)
        self._waiting = AsyncPool(requests.endpoint, limit=max_connections, tls=tls)
        self._puts = PutGatherer(self._requests, self._pool)
        self._acks = AckGatherer(self._requests, self._pool)
        self._timeout = timeout
        self._streams: WeakSet[AsyncStream | AsyncWatch] = WeakSet()
        forks.on_fork(self._forked)

    # -- publishing

    def publish(self, event: OutgoingEvent, *, timeout: float | None) -> Awaitable[Receipt]:
        """Publish one event with those that gather meanwhile. Cancelling it leaves the others undisturbed."""
        loop = asyncio.get_running_loop()
        item = Put(encode_event(event), bool(event.key), loop.time() + self._seconds(timeout), loop.create_future())
        self._puts.add(item)
        return item.future

    async def publish_if(self, event: OutgoingEvent, expected: Parameters, *, timeout: float | None) -> Receipt:
        """Publish one event if the log ends where *expected* says. It goes by itself, for lines can't say that."""
        write = partial(self._requests.publish_if, encode_event(event), expected)
        retry = self._retry(timeout, repeatable=bool(event.key))
        try:
            return await self._pool.call(write, receipt_in, retry)
        except DuplicateKeyError as error:
            return own_receipt(error, retry)

    async def publish_later(self, event: OutgoingEvent, when: Parameters, *, timeout: float | None) -> Receipt:
        """Have the server publish one event when it is due, as *when* or the event itself says."""
        return await self.ask("", receipt_in, method="POST", query=when, body=encode_event(event), timeout=timeout)

    async def publish_batch(
        self, events: Iterable[EventFields | Draft], *, expected: Parameters | None, timeout: float | None
    ) -> Receipt:
        """Publish *events* as a whole, if the log ends where *expected* says."""
        body = encode_batch(events)
        write = (
            partial(self._requests.publish_if, body, expected) if expected else partial(self._requests.publish, body)
        )
        return await self._call(self._pool, write, receipt_in, timeout=self._seconds(timeout))

    async def publish_each(
        self, events: Iterable[EventFields | Draft], *, timeout: float | None
    ) -> list[Receipt | BusError]:
        """Publish *events* independently, as concurrent puts are."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._seconds(timeout)
        items = [Put(*encode_draft_line(event), deadline, loop.create_future()) for event in events]
        for item in items:
            self._puts.add(item)
        try:
            return [await _outcome(item.future) for item in items]
        except asyncio.CancelledError:
            for item in items:
                _leave(item.future)
            raise

    async def publish_and_wait(
        self,
        event: OutgoingEvent,
        read: Callable[[Response], _T],
        *,
        wait: Literal["reply", "confirm"],
        timeout: float | None,
        count: int = 1,
        expected: Parameters | None = None,
    ) -> _T:
        """Publish one event, and have what *read* makes of the answer when others have done their part."""
        seconds = self._seconds(timeout)
        write = partial(
            self._requests.publish_and_wait,
            encode_event(event),
            wait=wait,
            timeout=seconds,
            count=count,
            expected=expected,
        )
        return await self._call(self._waiting, write, read, timeout=seconds + MARGIN)

    # -- subscribing

    def subscribe(self, options: GetOptions) -> AsyncStream:
        """A stream, which begins when it is first used."""
        state = StreamState(options, AsyncDelivery)
        source = self._source(state, unanswered=f"no answer to the subscription to {options} in time")
        stream = AsyncStream(state, source, acknowledge=self.acknowledge)
        self._streams.add(stream)
        return stream

    async def acknowledge(self, said: Acknowledgement) -> None:
        """A plain acknowledgement travels with others, anything else by itself."""
        if len(said.event_ids) > 1 or said.action != "ack" or said.reply:
            await self._call(self._pool, partial(self._requests.acknowledge, said), check, repeatable=True)
            return
        loop = asyncio.get_running_loop()
        item = Ack(said.consumer_id, said.event_ids[0], loop.time() + self._timeout, loop.create_future())
        self._acks.add(item)
        await item.future

    # -- around it

    def watch(self, state: WatchState) -> AsyncWatch:
        """What the server counts, from when it is first asked for."""
        source = self._source(state, unanswered=f"{self._requests.endpoint} told no counts in time")
        watch = AsyncWatch(state, source)
        self._streams.add(watch)
        return watch

    def _source(self, state: SourceState, *, unanswered: str) -> AsyncEventSource:
        return AsyncEventSource(
            state, requests=self._requests, pool=self._pool, patience=self._timeout, unanswered=unanswered
        )

    async def ask(
        self,
        path: str,
        read: Callable[[Response], _T],
        *,
        method: Method = "GET",
        query: Parameters | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> _T:
        """What *read* makes of the answer to a request to *path*; *body* is JSON."""
        write = partial(self._requests.ask, path, method=method, query=query, body=body)
        return await self._call(self._pool, write, read, timeout=timeout, repeatable=method in REPEATABLE)

    async def _call(
        self,
        pool: AsyncPool,
        write: Write,
        read: Callable[[Response], _T],
        *,
        timeout: float | None = None,
        repeatable: bool = False,
    ) -> _T:
        return await pool.call(write, read, self._retry(timeout, repeatable=repeatable))

    def _retry(self, timeout: float | None, *, repeatable: bool) -> Retry:
        deadline = asyncio.get_running_loop().time() + self._seconds(timeout)
        return Retry(deadline=deadline, repeatable=repeatable, renew=self._requests.renew)

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def _forked(self) -> None:
        """In a child: leave the connections and the loop to the parent."""
        for part in (self._puts, self._acks, self._pool, self._waiting):
            part.forked()

    async def close(self) -> None:
        """Send what has gathered, end every subscription, close every connection."""
        await self._puts.close()
        await self._acks.close()
        for stream in list(self._streams):
            await stream.close()
        self._pool.close()
        self._waiting.close()

    def __repr__(self) -> str:
        return f"<AsyncCalls to {self._requests.endpoint}, {len(self._streams)} streams>"


async def _outcome(future: asyncio.Future[Receipt]) -> Receipt | BusError:
    try:
        return await future
    except BusError as error:
        return error


def _leave(future: asyncio.Future[Receipt]) -> None:
    """Nobody waits any more: an event that isn't on its way yet stays here, and no error is missed."""
    if not future.cancel() and not future.cancelled():
        future.exception()
