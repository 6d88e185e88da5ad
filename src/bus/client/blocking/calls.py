"""How the calls of a client travel: over which connections, and how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeVar
from weakref import WeakSet

from bus.client.blocking.batching import publish_each
from bus.client.blocking.connection import Pool
from bus.client.blocking.delivery import Delivery
from bus.client.blocking.event_source import EventSource
from bus.client.blocking.stream import Stream
from bus.client.blocking.watch import Watch
from bus.client.core import forks
from bus.client.core.draft import EventFields, OutgoingEvent, encode_batch, encode_event
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

_T = TypeVar("_T")


class Calls:
    """What a `Client` does: each call has a connection to itself."""

    def __init__(self, requests: Requests, *, timeout: float, tls: SSLContext | None) -> None:
        self._requests = requests
        self._pool = Pool(requests.endpoint, tls=tls)
        self._timeout = timeout
        self._streams: WeakSet[Stream | Watch] = WeakSet()
        forks.on_fork(self._forked)

    # -- publishing

    def publish(self, event: OutgoingEvent, *, timeout: float | None) -> Receipt:
        """Publish one event; with a key it is sent again when a connection breaks."""
        write = partial(self._requests.publish, encode_event(event))
        retry = self._retry(timeout, repeatable=bool(event.key))
        try:
            return self._pool.call(write, receipt_in, retry)
        except DuplicateKeyError as error:
            return own_receipt(error, retry)

    def publish_if(self, event: OutgoingEvent, expected: Parameters, *, timeout: float | None) -> Receipt:
        """Publish one event if the log ends where *expected* says."""
        write = partial(self._requests.publish_if, encode_event(event), expected)
        retry = self._retry(timeout, repeatable=bool(event.key))
        try:
            return self._pool.call(write, receipt_in, retry)
        except DuplicateKeyError as error:
            return own_receipt(error, retry)

    def publish_later(self, event: OutgoingEvent, when: Parameters, *, timeout: float | None) -> Receipt:
        """Have the server publish one event when it is due, as *when* or the event itself says."""
        return self.ask("", receipt_in, method="POST", query=when, body=encode_event(event), timeout=timeout)

    def publish_batch(
        self, events: Iterable[EventFields | Draft], *, expected: Parameters | None, timeout: float | None
    ) -> Receipt:
        """Publish *events* as a whole, if the log ends where *expected* says."""
        body = encode_batch(events)
        write = (
            partial(self._requests.publish_if, body, expected) if expected else partial(self._requests.publish, body)
        )
        return self._call(write, receipt_in, timeout=timeout)

    def publish_each(self, events: Iterable[EventFields | Draft], *, timeout: float | None) -> list[Receipt | BusError]:
        """Publish *events* independently, up to 1,000 in a request."""
        return publish_each(events, self._pool, self._requests, timeout=self._seconds(timeout))

    def publish_and_wait(
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
        return self._call(write, read, timeout=seconds + MARGIN)

    # -- subscribing

    def subscribe(self, options: GetOptions) -> Stream:
        """A stream that stands."""
        state = StreamState(options, Delivery)
        stream = Stream(state, self._source(state), acknowledge=self.acknowledge)
        stream.open()
        self._streams.add(stream)
        return stream

    def acknowledge(self, said: Acknowledgement) -> None:
        self._call(partial(self._requests.acknowledge, said), check, repeatable=True)

    # -- around it

    def watch(self, state: WatchState) -> Watch:
        """What the server counts, from when it is first asked for."""
        watch = Watch(state, self._source(state))
        self._streams.add(watch)
        return watch

    def _source(self, state: SourceState) -> EventSource:
        return EventSource(state, requests=self._requests, pool=self._pool, patience=self._timeout)

    def ask(
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
        return self._call(write, read, timeout=timeout, repeatable=method in REPEATABLE)

    def _call(
        self, write: Write, read: Callable[[Response], _T], *, timeout: float | None = None, repeatable: bool = False
    ) -> _T:
        return self._pool.call(write, read, self._retry(timeout, repeatable=repeatable))

    def _retry(self, timeout: float | None, *, repeatable: bool) -> Retry:
        deadline = monotonic() + self._seconds(timeout)
        return Retry(deadline=deadline, repeatable=repeatable, renew=self._requests.renew)

    def _seconds(self, timeout: float | None) -> float:
        return self._timeout if timeout is None else timeout

    def _forked(self) -> None:
        """In a child: leave the connections to the parent."""
        self._pool.forked()

    def close(self) -> None:
        """End every subscription and close every connection."""
        for stream in list(self._streams):
            stream.close()
        self._pool.close()

    def __repr__(self) -> str:
        return f"<Calls to {self._requests.endpoint}, {len(self._streams)} streams>"
