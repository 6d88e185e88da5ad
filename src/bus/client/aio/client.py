"""The client for programs with an asyncio event loop: what its callers see."""
# ruff: noqa: ASYNC109  (a timeout given by the caller is part of the request and of the error it ends in)

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from bus.client.aio.calls import AsyncCalls
from bus.client.aio.consumers import AsyncConsumers
from bus.client.aio.handling import AsyncHandler
from bus.client.aio.namespaces import AsyncNamespaces
from bus.client.aio.schedules import AsyncSchedules
from bus.client.aio.stored_events import AsyncStoredEvents
from bus.client.aio.stream import AsyncStream
from bus.client.aio.tracing import AsyncTracedCalls
from bus.client.aio.watch import AsyncWatch
from bus.client.aio.worker import AsyncWorker
from bus.client.core.credentials import Credentials, Token
from bus.client.core.draft import EventFields, OutgoingEvent, expectation
from bus.client.core.get_options import Duration, GetOptions, Start, in_seconds, subjects_in
from bus.client.core.outcomes import answer_as, payload_in, receipt_in
from bus.client.core.request import DEFAULT_URL, Acknowledgement, Action, Endpoint, Requests, fitting_ids
from bus.client.core.response import Response
from bus.client.core.retry import DEFAULT_TIMEOUT
from bus.client.core.schedules import delay_query
from bus.client.core.stream_notices import Dropped, Gap
from bus.client.core.tls import File, make_tls
from bus.client.core.tracing import find_tracing
from bus.client.core.watch import SERVER, WatchState
from bus.client.core.worker_plan import WorkOptions
from bus.errors import BusError, InvalidParameterError
from bus.event import Draft, Receipt
from bus.overview import ServerDescription

if TYPE_CHECKING:
    from ssl import SSLContext

    from opentelemetry.trace import TracerProvider


class AsyncClient:
    """A Bus server, seen from one event loop.

    Concurrent puts travel together, each with its own receipt, and are stored in the order of the calls. It
    connects when first used; close it, or use it in an ``async with`` block.

    Parameters:
        url: where the server is, with a path if a proxy wants one; by default ``http://localhost:2021``. A user
            and password in it are sent as Basic authentication and never shown.
        token: what the server knows this program by, or a function that returns the token that is valid now: it is
            asked at the first request, when a stream connects, and once when a token is refused, and shouldn't take
            long. By default the variable ``BUS_TOKEN``, if there is no user in the URL; empty for none.
        headers: go along with each request, for a proxy that wants them.
        timeout: seconds a call may take in all, connecting and trying again included; by default 10.
        ca: for an ``https`` server: a file of the authorities that are trusted instead of the system's; by default
            that named in the variable ``BUS_CA_FILE``, if there is one.
        cert: a file of the certificate that this program shows and of its key, or a pair of files; by default those
            named in ``BUS_CERT_FILE`` and ``BUS_KEY_FILE``.
        tls: in place of *ca* and *cert*, a context of your own.
        max_connections: requests and confirmed puts that wait for their answers at once; others queue.
        tracing: where spans go: a provider of OpenTelemetry's, True for the one that the program sets, False for
            nowhere; by default to the program's if it has set one before it makes the client.

    Attributes:
        consumers: the durable consumers of the server: list, change, pause, move and forget them.
        events: what is stored: read one event, or the newest first, and delete.
        namespaces: the namespaces of the server, and what is in them.
        schedules: events that are published later: list, cancel, have them recur.

    Raises:
        InvalidParameterError: *url* can't be read, *token* or *headers* can't be sent, a file of *ca* or *cert* can't
            be used, or *tls* is given beside them; or *tracing* is wanted, and OpenTelemetry isn't installed.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: Token | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        ca: File | None = None,
        cert: File | tuple[File, File] | None = None,
        tls: SSLContext | None = None,
        max_connections: int = 64,
        tracing: TracerProvider | bool | None = None,
    ) -> None:
        self._endpoint = Endpoint.parse(url)
        credentials = Credentials(userinfo=self._endpoint.userinfo, token=token, headers=headers)
        requests = Requests(self._endpoint, credentials)
        context = make_tls(self._endpoint, tls=tls, ca=ca, cert=cert)
        found = find_tracing(tracing, self._endpoint)
        make = partial(AsyncTracedCalls, found) if found else AsyncCalls
        self._calls: AsyncCalls = make(requests, timeout=timeout, tls=context, max_connections=max_connections)
        self.consumers = AsyncConsumers(self._calls)
        self.namespaces = AsyncNamespaces(self._calls)
        self.schedules = AsyncSchedules(self._calls)
        self.events = AsyncStoredEvents(self._calls)

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
        headers: Mapping[str, str] | None = None,
        ttl: Duration | None = None,
        delay: Duration | None = None,
        deliver_at: datetime | str | None = None,
        expect: int | None = None,
        expect_subject: int | None = None,
        confirm: int = 0,
        timeout: float | None = None,
    ) -> Receipt:
        """Publish one event and return its receipt once it is stored as the server promises.

        When a connection breaks after the event was sent, an event with a key is sent again, which can't
        store it twice; without a key the error says that it may or may not be stored.
        Cancelling it leaves open whether the event is stored, and other puts undisturbed.

        Parameters:
            subject: what the event is about, such as ``orders.created``.
            payload: anything msgspec can write as JSON; a ``msgspec.Raw`` is JSON already.
            key: refuses a second event with this subject and key.
            trace_id: is carried along.
            id: an id of your own, 1 to 128 of ``A-Z a-z 0-9 _ -``; by default the server makes one.
            response_subject: the inbox that a reply goes to.
            created_at: when it happened, a ``datetime`` with a time zone or RFC 3339 text; by default now.
            headers: go along beside the payload, such as ``{"traceparent": "00-…"}``: at most 64, together 8 KiB.
            ttl: seconds, or text such as ``"15m"``, after its time in which it is delivered; by default for ever.
            delay: publish it only after so many seconds, or text such as ``"15m"``; the server keeps it until then.
            deliver_at: publish it only then, a ``datetime`` with a time zone or RFC 3339 text.
            expect: store it only if this is the last index of its namespace, 0 if there is no event yet.
            expect_subject: store it only if this is the last index of its subject, 0 if that has no event yet.
            confirm: return only once so many different consumers have acknowledged the event.
            timeout: seconds it may take in all, 60 at most with *confirm*; by default the client's.

        Returns:
            The event's id, time and place in its namespace. One that is published later has neither time nor place
                yet, but the id of its schedule, by which it can be cancelled.

        Raises:
            DuplicateKeyError: the subject had this key before; the error has the first event's receipt.
            WrongIndexError: the log doesn't end where *expect* or *expect_subject* says; with the actual index.
            InvalidError: this can't be an event.
            UnknownNamespaceError: the server doesn't serve the namespace of *subject*.
            TooLargeError: the event is larger than the server takes.
            TimedOutError: no answer, or too few acknowledgements, in time; with the receipt if the event is stored.
            UnavailableError: the server was overloaded or stopping all the time.
            StorageError: the server can't store it, because its disk is full or fails.
            ConnectionFailedError: the server can't be reached, or the connection broke.
        """
        event = OutgoingEvent(
            subject, payload, key, trace_id, id, response_subject, created_at, headers or None, ttl, deliver_at
        )
        later = delay is not None or deliver_at is not None
        expected = expectation(expect, expect_subject, later=later)
        if later:
            query = delay_query(delay, deliver_at, confirm=confirm)
            return await self._calls.publish_later(event, query, timeout=timeout)
        if confirm:
            return await self._calls.publish_and_wait(
                event, receipt_in, wait="confirm", timeout=timeout, count=confirm, expected=expected
            )
        if expected:
            return await self._calls.publish_if(event, expected, timeout=timeout)
        return await self._calls.publish(event, timeout=timeout)

    @overload
    async def put_many(
        self,
        events: Iterable[EventFields | Draft],
        *,
        atomic: Literal[True] = True,
        expect: int | None = None,
        expect_subject: int | None = None,
        timeout: float | None = None,
    ) -> Receipt: ...

    @overload
    async def put_many(
        self, events: Iterable[EventFields | Draft], *, atomic: Literal[False], timeout: float | None = None
    ) -> list[Receipt | BusError]: ...

    async def put_many(
        self,
        events: Iterable[EventFields | Draft],
        *,
        atomic: bool = True,
        expect: int | None = None,
        expect_subject: int | None = None,
        timeout: float | None = None,
    ) -> Receipt | list[Receipt | BusError]:
        """Publish several events, as one batch or independently of each other.

        It raises what `put` does for a batch. What hinders one of several independent events is in its place in
        the list, even that the server can't be reached.

        Parameters:
            events: mappings such as ``{"subject": "orders.created", "payload": 1}``, with the names of `put`.
            atomic: store them as a whole or not at all: up to 16,384 events of one namespace. Otherwise each is
                stored for itself, and there may be any number of them.
            expect: store a batch only if this is the last index of its namespace, 0 if there is no event yet.
            expect_subject: store a batch, whose events have one subject, only if this is the last index of that.
            timeout: seconds it may take in all; by default the client's.

        Returns:
            The receipt of the last event of a batch; of independent events what became of each, in order:
                its receipt, or the error that refused it.
        """
        expected = expectation(expect, expect_subject)
        if atomic:
            return await self._calls.publish_batch(events, expected=expected, timeout=timeout)
        if expected:
            raise InvalidParameterError("expect goes with a batch: not with atomic=False")
        return await self._calls.publish_each(events, timeout=timeout)

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
        """Subscribe to a pattern, or several of one namespace.

        The subscription begins with ``async with client.get(…) as events:``, or with the first event that
        ``async for`` asks for; that is where it raises what refuses it. From then on it reconnects by itself.

        Parameters:
            subject: a pattern such as ``orders.*`` or ``orders.>``, or several of one namespace.
            start: ``"newest"``, ``"oldest"``, an event's id (begins after it), an index, a ``datetime`` with a time
                zone, an age (a ``timedelta`` or text such as ``"15m"``), ``-10`` for the last ten that match, or
                ``"last"`` for the newest of every subject that matches and all that comes later. It counts for a
                durable consumer that is new.
            ack: with ``"manual"`` each event is delivered again until it is acknowledged.
            redelivery: how long an attempt may take, in seconds or as text such as ``"1m30s"``; several are
                for the first, second, … attempt. By default 5 seconds.
            redelivery_count: attempts in all before an event is given up, 0 for no limit; by default 3.
            prefetch: events on their way at once; by default 1, which is strict order.
            consumer: the name of a durable consumer, with ``ack="manual"``: the server keeps its position, and
                connections of one name share the work.
            order: with ``"key"`` no two events of one key are on their way at once.
            limit: end after so many events.
            follow: go on with new events; otherwise end at what is the last one now.
            timeout: seconds to wait for each next event; by default for ever.
            payload_type: what payloads are decoded as, any type msgspec knows; ``msgspec.Raw`` leaves them as
                they are.
            on_gap: called when events are missed because they can't be read any more; by default a warning
                is logged.
            on_dropped: called when an event of a consumer without a name is given up; by default a warning
                is logged.

        Returns:
            The events, as an iterator that can be closed.

        Raises:
            InvalidError: a pattern or an option can't be understood.
            UnknownNamespaceError: the server doesn't serve this namespace.
            UnknownEventError: there never was an event like the one to start after.
            ConsumerMismatchError: the durable consumer reads other patterns.
            UnavailableError: the server was overloaded or stopping all the time.
            ConnectionFailedError: the server can't be reached within the client's timeout.
        """
        options = GetOptions(
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
            timeout=timeout,
            payload_type=payload_type,
            on_gap=on_gap,
            on_dropped=on_dropped,
        )
        return self.subscribe(options)

    def subscribe(self, options: GetOptions) -> AsyncStream:
        """What `get` and workers do, their options as one value."""
        return self._calls.subscribe(options)

    async def ack(
        self,
        consumer_id: str,
        event_ids: str | Sequence[str],
        *,
        action: Action = "ack",
        delay: Duration | None = None,
        reason: str = "",
    ) -> None:
        """Say something about deliveries of a consumer, by their ids; `AsyncDelivery.ack` is the short way.

        Of several events those that can be are settled, and the error is that of the first that could not.

        Parameters:
            consumer_id: the consumer they were delivered to, ``c_…``.
            event_ids: one event's id, or several.
            action: ``"ack"``: done. ``"nack"``: deliver again. ``"extend"``: more time. ``"reject"``: give up.
            delay: seconds, or text such as ``"30s"``: with ``"nack"`` until it is delivered again, by default
                at once; with ``"extend"`` how long the attempt may take from now, by default the redelivery
                time again.
            reason: why, with ``"nack"`` and ``"reject"``; kept with a dead letter.

        Raises:
            UnknownConsumerError: the consumer's connection has ended.
            UnknownEventError: an event was not delivered to this consumer, or was given up.
            NotOwnerError: an event was handed to another connection of the consumer.
            InvalidError: an id or an option can't be understood.
            ConnectionFailedError: the server can't be reached.
        """
        ids = subjects_in(event_ids)
        seconds = None if delay is None else in_seconds(delay)
        for part in fitting_ids(ids, reason=reason):
            await self._calls.acknowledge(Acknowledgement(consumer_id, part, action, seconds, reason))

    # -- services

    async def request(
        self,
        subject: str,
        payload: Any = None,
        *,
        timeout: float | None = None,
        key: str | None = None,
        trace_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        ttl: Duration | None = None,
    ) -> Any:
        """Publish a request and wait for the first reply to it.

        It raises what `put` does, and:

        Parameters:
            subject: what the request is about, such as ``app.math.add``.
            payload: anything msgspec can write as JSON.
            timeout: seconds to wait for the reply, 60 at most; by default the client's.
            key: refuses a second request with this subject and key.
            trace_id: is carried along.
            headers: go along beside the payload.
            ttl: seconds, or text such as ``"15m"``, in which it is delivered, so that a service that is late doesn't
                begin with it.

        Returns:
            The payload of the reply.

        Raises:
            ServiceError: the service rejected the request; the message is its reason.
            TimedOutError: no reply in time; the error has the receipt of the request, which is stored.
        """
        event = OutgoingEvent(subject, payload, key, trace_id, headers=headers or None, ttl=ttl)
        return await self._calls.publish_and_wait(event, payload_in, wait="reply", timeout=timeout)

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

    async def server(self) -> ServerDescription:
        """Ask what the server is, how it fares, and what the client may do.

        Returns:
            The server, as far as the client may know of it.

        Raises:
            UnauthorizedError: the server doesn't know the client.
            ConnectionFailedError: the server can't be reached.
        """
        return await self._calls.ask(SERVER, answer_as(ServerDescription))

    def watch(self, *, interval: Duration | None = None, follow: bool = True) -> AsyncWatch:
        """Watch all that the server counts: its namespaces, its durable consumers, itself.

        Parameters:
            interval: how often, in seconds or as text, from 100 ms to a minute; by default every second.
            follow: go on; otherwise it is over after the first.

        Returns:
            The counts, as an iterator that can be closed; it raises what refuses it.
        """
        return self._calls.watch(WatchState(interval=interval, follow=follow))

    async def health(self) -> bool:
        """Ask whether every namespace of the server takes events.

        Returns:
            Whether they all do.

        Raises:
            ConnectionFailedError: the server can't be reached.
        """
        return await self._calls.ask("readyz", _is_ready)

    async def close(self) -> None:
        """Send the puts and acknowledgements that have gathered, end every subscription, close every connection."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._endpoint}>"


def _is_ready(response: Response) -> bool:
    return response.status == 200
