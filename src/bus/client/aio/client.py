"""The client for programs with an asyncio event loop."""
# ruff: noqa: ASYNC109  (a timeout given by the caller is part of the request and of the error it ends in)

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from bus.client.aio.batching import Ack, AckGatherer, Put, PutGatherer
from bus.client.aio.connection import Pool
from bus.client.aio.delivery import AsyncDelivery
from bus.client.aio.stream import AsyncStream
from bus.client.aio.worker import AsyncHandler, AsyncWorker
from bus.client.core import forks
from bus.client.core.draft import EventFields, encode_batch, encode_draft, encode_event
from bus.client.core.outcomes import check, payload_in, receipt_in
from bus.client.core.query import Duration, Query, Start, subjects_in
from bus.client.core.request import DEFAULT_URL, Acknowledgement, Action, Endpoint, Requests, fitting_ids
from bus.client.core.response import Response
from bus.client.core.retry import DEFAULT_TIMEOUT, MARGIN, Retry
from bus.client.core.stream import StreamState
from bus.client.core.stream_notices import Dropped, Gap
from bus.client.core.worker_plan import WorkOptions
from bus.errors import BusError
from bus.event import Draft, Receipt
from bus.units import parse_duration

if TYPE_CHECKING:
    from ssl import SSLContext

SHORT_CALLS = 16
"""Connections for calls that are answered at once. They are apart from those that wait for others, because
what these wait for may be a reply that is sent from here."""

T = TypeVar("T")


class AsyncClient:
    """A Bus server, seen from one event loop.

    Its methods take, return and raise what those of [Client][bus.Client] do. Concurrent puts travel together,
    each with its own receipt, and are stored in the order of the calls. It connects when first used; close it,
    or use it in an ``async with`` block.

    Parameters:
        url: where the server is, with a path if a proxy wants one; by default ``http://localhost:2021``.
        timeout: seconds a call may take in all, connecting and trying again included; by default 10.
        tls: replaces the system's certificates for an ``https`` server.
        max_connections: requests and confirmed puts that wait for their answers at once; others queue.

    Raises:
        InvalidParameterError: *url* can't be read.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        tls: SSLContext | None = None,
        max_connections: int = 64,
    ) -> None:
        endpoint = Endpoint.parse(url)
        self._requests = Requests(endpoint)
        self._pool = Pool(endpoint, limit=SHORT_CALLS, tls=tls)
        self._waiting = Pool(endpoint, limit=max_connections, tls=tls)
        self._puts = PutGatherer(self._requests, self._pool)
        self._acks = AckGatherer(self._requests, self._pool)
        self._timeout = timeout
        self._streams: WeakSet[AsyncStream] = WeakSet()
        forks.on_fork(self._forked)

    # -- publishing

    async def put(
        self,
        subject: str,
        payload: Any = None,
        *,
        key: str | None = None,
        trace_id: str | None = None,
        id: str | None = None,
        response_subject: str | None = None,
        created_at: datetime | str | None = None,
        confirm: int = 0,
        timeout: float | None = None,
    ) -> Receipt:
        """Publish one event and return its receipt once it is stored; see [Client.put][bus.Client.put].

        Cancelling it leaves open whether the event is stored, and other puts undisturbed.
        """
        body = encode_draft(subject, payload, key, trace_id, id, response_subject, created_at)
        seconds = self._timeout if timeout is None else timeout
        if confirm:
            asked = self._requests.publish_and_wait(body, wait="confirm", timeout=seconds, count=confirm)
            return await self._call(self._waiting, asked, receipt_in, timeout=seconds + MARGIN)
        loop = asyncio.get_running_loop()
        item = Put(body, bool(key), loop.time() + seconds, loop.create_future())
        self._puts.add(item)
        receipt: Receipt = await item.future
        return receipt

    @overload
    async def put_many(
        self, events: Iterable[EventFields | Draft], *, atomic: Literal[True] = True, timeout: float | None = None
    ) -> Receipt: ...

    @overload
    async def put_many(
        self, events: Iterable[EventFields | Draft], *, atomic: Literal[False], timeout: float | None = None
    ) -> list[Receipt | BusError]: ...

    async def put_many(
        self, events: Iterable[EventFields | Draft], *, atomic: bool = True, timeout: float | None = None
    ) -> Receipt | list[Receipt | BusError]:
        """Publish several events, as one batch or independently; see [Client.put_many][bus.Client.put_many].

        Independent events go the way of concurrent puts: *timeout* is for all of them, and what hinders one
        is in its place in the list, even that the server can't be reached.
        """
        seconds = self._timeout if timeout is None else timeout
        if atomic:
            asked = self._requests.publish(encode_batch(events))
            return await self._call(self._pool, asked, receipt_in, timeout=seconds)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        items = [Put(*encode_event(event), deadline, loop.create_future()) for event in events]
        for item in items:
            self._puts.add(item)
        return await asyncio.gather(*(_outcome(item.future) for item in items))

    # -- subscribing

    def get(
        self,
        subject: str | Sequence[str],
        *,
        start: Start = "newest",
        ack: Literal["none", "manual"] = "none",
        redelivery: Duration | Sequence[Duration] | None = None,
        redelivery_count: int | None = None,
        prefetch: int | None = None,
        consumer: str | None = None,
        order: Literal["key"] | None = None,
        limit: int | None = None,
        follow: bool = True,
        timeout: float | None = None,
        payload_type: Any = Any,
        on_gap: Callable[[Gap], object] | None = None,
        on_dropped: Callable[[Dropped], object] | None = None,
    ) -> AsyncStream:
        """Subscribe to a pattern, or several of one namespace; see [Client.get][bus.Client.get].

        The subscription begins with ``async with client.get(…) as events:``, or with the first event that
        ``async for`` asks for. That is where it raises what refuses it.
        """
        query = Query(
            subjects=subjects_in(subject),
            start=start,
            ack=ack,
            redelivery=redelivery,
            redelivery_count=redelivery_count,
            prefetch=prefetch,
            consumer=consumer,
            order=order,
            limit=limit,
            follow=follow,
        )
        state = StreamState(query, AsyncDelivery, payload_type=payload_type, on_gap=on_gap, on_dropped=on_dropped)
        stream = AsyncStream(
            state,
            requests=self._requests,
            pool=self._pool,
            acknowledge=self._acknowledge,
            patience=self._timeout,
            timeout=timeout,
        )
        self._streams.add(stream)
        return stream

    async def ack(
        self,
        consumer_id: str,
        event_ids: str | Sequence[str],
        *,
        action: Action = "ack",
        delay: Duration | None = None,
        reason: str = "",
    ) -> None:
        """Say something about deliveries of a consumer, by their ids; see [Client.ack][bus.Client.ack]."""
        ids = subjects_in(event_ids)
        seconds = parse_duration(delay) if isinstance(delay, str) else delay
        for part in fitting_ids(ids, reason=reason):
            await self._acknowledge(Acknowledgement(consumer_id, part, action, seconds, reason))

    async def _acknowledge(self, said: Acknowledgement) -> None:
        """A plain acknowledgement travels with others, anything else by itself."""
        if len(said.event_ids) > 1 or said.action != "ack" or said.reply:
            await self._call(self._pool, self._requests.acknowledge(said), check, repeatable=True)
            return
        loop = asyncio.get_running_loop()
        item = Ack(said.consumer_id, said.event_ids[0], loop.time() + self._timeout, loop.create_future())
        self._acks.add(item)
        await item.future

    # -- services

    async def request(
        self,
        subject: str,
        payload: Any = None,
        *,
        timeout: float | None = None,
        key: str | None = None,
        trace_id: str | None = None,
    ) -> Any:
        """Publish a request and return the payload of the first reply; see [Client.request][bus.Client.request]."""
        seconds = self._timeout if timeout is None else timeout
        body = encode_draft(subject, payload, key, trace_id)
        asked = self._requests.publish_and_wait(body, wait="reply", timeout=seconds)
        return await self._call(self._waiting, asked, payload_in, timeout=seconds + MARGIN)

    def worker(
        self, subject: str | Sequence[str], handler: AsyncHandler, **options: Unpack[WorkOptions]
    ) -> AsyncWorker:
        """A worker on this client, for programs that run and stop it themselves.

        Parameters:
            subject: a pattern, or several of one namespace.
            handler: a coroutine function, called with each event.
            options: those of `AsyncWorker`; *consumer* is required.

        Returns:
            A worker that isn't running yet.
        """
        return AsyncWorker(self, subject, handler, **options)

    async def work(self, subject: str | Sequence[str], handler: AsyncHandler, **options: Unpack[WorkOptions]) -> None:
        """Handle events until the process is told to stop by SIGTERM or SIGINT.

        Parameters:
            subject: a pattern, or several of one namespace.
            handler: a coroutine function, called with each event.
            options: those of `AsyncWorker`; *consumer* is required.

        Raises:
            BusError: what ends the subscription for good, such as `UnknownNamespaceError`.
        """
        await self.worker(subject, handler, **options).run()

    # -- around it

    async def health(self) -> bool:
        """Ask whether every namespace of the server takes events; see [Client.health][bus.Client.health]."""
        return await self._call(self._pool, self._requests.get("readyz"), _is_ready, repeatable=True)

    async def _call(
        self,
        pool: Pool,
        asked: bytes,
        read: Callable[[Response], T],
        *,
        timeout: float | None = None,
        repeatable: bool = False,
    ) -> T:
        seconds = self._timeout if timeout is None else timeout
        deadline = asyncio.get_running_loop().time() + seconds
        return await pool.call(asked, read, Retry(deadline=deadline, repeatable=repeatable))

    def _forked(self) -> None:
        """In a child: leave the connections and the loop to the parent."""
        for part in (self._puts, self._acks, self._pool, self._waiting):
            part.forked()

    async def close(self) -> None:
        """Send the puts and acknowledgements that have gathered, end every subscription, close every connection."""
        await self._puts.close()
        await self._acks.close()
        for stream in list(self._streams):
            await stream.close()
        self._pool.close()
        self._waiting.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._requests.endpoint}>"


async def _outcome(future: asyncio.Future[Receipt]) -> Receipt | BusError:
    try:
        return await future
    except BusError as error:
        return error


def _is_ready(response: Response) -> bool:
    return response.status == 200
