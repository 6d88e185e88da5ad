"""The client for programs without an event loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack, overload
from weakref import WeakSet

from bus.client.blocking.connection import Pool
from bus.client.blocking.lines import put_lines
from bus.client.blocking.stream import Delivery, Stream
from bus.client.blocking.worker import Handler, Worker
from bus.client.core.answer import check, payload_in, receipt_in
from bus.client.core.draft import EventFields, encode_batch, encode_draft
from bus.client.core.notice import Dropped, Gap
from bus.client.core.query import Duration, Query, Start, subjects_in
from bus.client.core.request import DEFAULT_URL, Acknowledgement, Action, Endpoint, Requests, fitting_ids
from bus.client.core.response import Response
from bus.client.core.retry import DEFAULT_TIMEOUT, MARGIN, Retry
from bus.client.core.stream import StreamState
from bus.client.core.work import WorkOptions
from bus.errors import BusError, DuplicateKeyError
from bus.event import Draft, Receipt
from bus.units import parse_duration

if TYPE_CHECKING:
    from ssl import SSLContext

T = TypeVar("T")


class Client:
    """A connection to a Bus server, to be shared by any number of threads.

    *url* is where the server is. *timeout* is how many seconds a call may take in all, connecting and
    trying again included. *tls* replaces the system's certificates for an ``https`` server.

    It connects when first used and keeps idle connections; close it, or use it in a ``with`` block.
    """

    def __init__(
        self, url: str = DEFAULT_URL, *, timeout: float = DEFAULT_TIMEOUT, tls: SSLContext | None = None
    ) -> None:
        endpoint = Endpoint.parse(url)
        self._requests = Requests(endpoint)
        self._pool = Pool(endpoint, tls=tls)
        self._timeout = timeout
        self._streams: WeakSet[Stream] = WeakSet()

    # -- publishing

    def put(
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
        """Publish one event and return its receipt once it is stored as the server promises.

        *payload* is anything msgspec can write as JSON. With *confirm* it returns only once that many
        consumers have acknowledged the event. *timeout* is in seconds.

        Raises `DuplicateKeyError` (with the first receipt) when the subject had this *key* before;
        `InvalidError` for what can't be an event; `UnknownNamespaceError`; `TimedOutError`, with the
        receipt if the event is stored; `ConnectionFailedError` when the server can't be reached. When a
        connection breaks after the event was sent, an event with a key is sent again, which can't store it
        twice; without a key the error says that it may or may not be stored.
        """
        body = encode_draft(subject, payload, key, trace_id, id, response_subject, created_at)
        seconds = self._timeout if timeout is None else timeout
        if confirm:
            asked = self._requests.publish_and_wait(body, wait="confirm", timeout=seconds, count=confirm)
            return self._call(asked, receipt_in, timeout=seconds + MARGIN)
        return self._put(self._requests.publish(body), keyed=bool(key), timeout=seconds)

    def _put(self, asked: bytes, *, keyed: bool, timeout: float) -> Receipt:
        retry = Retry(deadline=monotonic() + timeout, repeatable=keyed)
        try:
            return self._pool.call(asked, receipt_in, retry)
        except DuplicateKeyError as error:
            if retry.uncertain and error.receipt:
                return error.receipt  # the first one with this key was this one
            raise

    @overload
    def put_many(
        self, events: Iterable[EventFields | Draft], *, atomic: Literal[True] = True, timeout: float | None = None
    ) -> Receipt: ...

    @overload
    def put_many(
        self, events: Iterable[EventFields | Draft], *, atomic: Literal[False], timeout: float | None = None
    ) -> list[Receipt | BusError]: ...

    def put_many(
        self, events: Iterable[EventFields | Draft], *, atomic: bool = True, timeout: float | None = None
    ) -> Receipt | list[Receipt | BusError]:
        """Publish several events, each a mapping such as ``{"subject": "orders.created", "payload": 1}``.

        An *atomic* batch is of one namespace and stored as a whole or not at all; the receipt of its last
        event is returned. Otherwise the events are independent, any number of them, and the result holds
        for each, in order, its receipt or the error that refused it. *timeout* is in seconds, for every
        1,000 events if they are independent.

        Raises what `put` raises; for independent events only if none of them could be sent.
        """
        seconds = self._timeout if timeout is None else timeout
        if atomic:
            return self._put(self._requests.publish(encode_batch(events)), keyed=False, timeout=seconds)
        return put_lines(events, self._pool, self._requests, timeout=seconds)

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
    ) -> Stream:
        """Subscribe to a pattern, or several of one namespace, and return the events as an iterator.

        The subscription stands when this returns. *start* is ``"oldest"``, ``"newest"``, an event id (starts
        after it), an index, a time, or an age such as ``"15m"``. It ends after *limit* events, or with
        ``follow=False`` at what was the tail. *timeout* is how many seconds to wait for each next event
        before `TimedOutError`; by default for ever.

        With ``ack="manual"`` each event is delivered again after *redelivery* (a duration, or one per
        attempt) until it is acknowledged, *redelivery_count* times at most, and *prefetch* events at once.
        *consumer* is a durable name: the server keeps its position, and connections of one name share the work.
        ``order="key"`` keeps events of one key from being on their way twice at once.

        *payload_type* is what payloads are decoded as, any type msgspec knows; ``msgspec.Raw`` leaves them as
        they are. *on_gap* is called when events are missed because they are no longer stored, *on_dropped*
        when one is given up; by default a warning is logged.

        Raises `InvalidError`, `UnknownNamespaceError`, `UnknownEventError` for a start that never existed,
        `ConsumerMismatchError`, `ConnectionFailedError`. Once it stands it reconnects by itself.
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
        state = StreamState(query, Delivery, payload_type=payload_type, on_gap=on_gap, on_dropped=on_dropped)
        return self._open(state, timeout)

    def _open(self, state: StreamState[Delivery], timeout: float | None) -> Stream:
        stream = Stream(
            state,
            requests=self._requests,
            pool=self._pool,
            acknowledge=self._acknowledge,
            patience=self._timeout,
            timeout=timeout,
        )
        stream.open()
        self._streams.add(stream)
        return stream

    def ack(
        self,
        consumer_id: str,
        event_ids: str | Sequence[str],
        *,
        action: Action = "ack",
        delay: Duration | None = None,
        reason: str = "",
    ) -> None:
        """Say something about deliveries of a consumer, by their ids; `Delivery.ack` is the short way.

        Raises `UnknownConsumerError`, `UnknownEventError`, `NotOwnerError`, `ConnectionFailedError`.
        """
        ids = subjects_in(event_ids)
        seconds = parse_duration(delay) if isinstance(delay, str) else delay
        for part in fitting_ids(ids):
            self._acknowledge(Acknowledgement(consumer_id, part, action, seconds, reason))

    def _acknowledge(self, said: Acknowledgement) -> None:
        self._call(self._requests.acknowledge(said), check, repeatable=True)

    # -- services

    def request(
        self,
        subject: str,
        payload: Any = None,
        *,
        timeout: float | None = None,
        key: str | None = None,
        trace_id: str | None = None,
    ) -> Any:
        """Publish a request and return the payload of the first reply to it.

        *timeout* is how many seconds to wait for the reply. Raises `ServiceError` with the reason when the
        service rejects the request, `TimedOutError` when no reply comes in time, and what `put` raises.
        """
        seconds = self._timeout if timeout is None else timeout
        body = encode_draft(subject, payload, key, trace_id)
        asked = self._requests.publish_and_wait(body, wait="reply", timeout=seconds)
        return self._call(asked, payload_in, timeout=seconds + MARGIN)

    def worker(self, subject: str | Sequence[str], handler: Handler, **options: Unpack[WorkOptions]) -> Worker:
        """A `Worker` on this client, to be run and stopped."""
        return Worker(self, subject, handler, **options)

    def work(self, subject: str | Sequence[str], handler: Handler, **options: Unpack[WorkOptions]) -> None:
        """Handle events until the process is told to stop; `Worker` says how, and which options there are."""
        self.worker(subject, handler, **options).run()

    # -- around it

    def health(self) -> bool:
        """Whether the server takes writes. Raises `ConnectionFailedError` when it can't be reached."""
        return self._call(self._requests.get("readyz"), _is_ready, repeatable=True)

    def _call(
        self, asked: bytes, read: Callable[[Response], T], *, timeout: float | None = None, repeatable: bool = False
    ) -> T:
        seconds = self._timeout if timeout is None else timeout
        return self._pool.call(asked, read, Retry(deadline=monotonic() + seconds, repeatable=repeatable))

    def close(self) -> None:
        """End every subscription and close every connection."""
        for stream in list(self._streams):
            stream.close()
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._requests.endpoint}>"


def _is_ready(response: Response) -> bool:
    return response.status == 200
