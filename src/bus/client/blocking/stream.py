"""A subscription read from a blocking socket."""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic, sleep
from types import TracebackType
from typing import Any

from bus.client.blocking.connection import Connection, Pool
from bus.client.core.answer import check
from bus.client.core.delivery import Delivered, settles, too_late
from bus.client.core.query import Duration
from bus.client.core.request import Acknowledgement, Requests, fitting_ids
from bus.client.core.retry import Retry
from bus.client.core.stream import SILENCE, StreamState, reconnects
from bus.errors import BusError, ConnectionFailedError, TimedOutError
from bus.wire import CONSUMER_ID

log = logging.getLogger("bus.client")


class Delivery(Delivered, dict=True):
    """An event delivered to a `Stream`. What is said about it returns once the server has taken it.

    It has the fields of an [Event][bus.Event], and this can be said about it. Each method may raise these:

    Raises:
        UnknownEventError: the event was given up.
        NotOwnerError: it went to another connection of the consumer meanwhile.
        TimedOutError: the server doesn't answer.
        ConnectionFailedError: the server can't be reached.
    """

    def ack(self) -> None:
        """Say that the event is done. It answers a publisher that waits for confirmation."""
        self.session.stream.settle(self, self._acknowledged())

    def reply(self, payload: Any) -> None:
        """Answer a request, and acknowledge it.

        Parameters:
            payload: anything msgspec can write as JSON.

        Raises:
            InvalidEventError: the event asks for no reply, or *payload* can't be written as JSON.
        """
        self.session.stream.settle(self, self._replied(payload))

    def nack(self, *, delay: Duration = 0, reason: str = "") -> None:
        """Have the event delivered again.

        Parameters:
            delay: seconds, or text such as ``"30s"``, until then.
            reason: why; kept with the dead letter if this was the last attempt.
        """
        self.session.stream.settle(self, self._said("nack", delay=delay, reason=reason))

    def extend(self, *, delay: Duration | None = None) -> None:
        """Ask for more time before redelivery.

        Parameters:
            delay: seconds from now, or text such as ``"1m"``; by default the redelivery time again.
        """
        self.session.stream.settle(self, self._said("extend", delay=delay))

    def reject(self, *, reason: str = "") -> None:
        """Give the event up: a durable consumer's goes to the dead letters, and who asked gets a `ServiceError`.

        Parameters:
            reason: why; kept with the dead letter, and the message of the requester's error.
        """
        self.session.stream.settle(self, self._said("reject", reason=reason))


class Stream:
    """The events of a subscription, one after another; made by `Client.get`.

    It reconnects by itself and goes on where it was. It is to be iterated by one thread; events may be
    acknowledged and the stream closed from any.
    """

    def __init__(
        self,
        state: StreamState[Delivery],
        *,
        requests: Requests,
        pool: Pool,
        acknowledge: Callable[[Acknowledgement], None],
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
        self._lock = Lock()  # guards the state, which acknowledgements change from other threads
        self._closing: SimpleQueue[None] = SimpleQueue()  # its put is safe in a signal handler
        self._closed = False

    @property
    def consumer_id(self) -> str:
        """The id the server gave to this connection, empty while there is none."""
        session = self._state.session
        return session.consumer_id if session else ""

    def __iter__(self) -> Stream:
        return self

    def __next__(self) -> Delivery:
        """Wait for the next event.

        Returns:
            The event.

        Raises:
            StopIteration: the subscription has ended, or was closed.
            TimedOutError: none came within the stream's timeout; it may be called again.
            BusError: what can't get better by reconnecting, such as `UnknownNamespaceError`.
        """
        event = self._state.pop()
        if event is None:
            event = self._wait()
        return event

    def _wait(self) -> Delivery:
        deadline = None if self._timeout is None else monotonic() + self._timeout
        while not self._closed:
            event = self._state.pop()
            if event is not None:
                return event
            if self._state.finished:
                break
            self._advance(deadline)
        self.close()
        raise StopIteration

    def _advance(self, deadline: float | None) -> None:
        """Take in what the connection brings next, or make a new connection."""
        try:
            if self._connection is None:
                self._reconnect(deadline)
            else:
                self._receive(self._connection, deadline)
        except BusError as error:
            self._lose(error)

    def _receive(self, connection: Connection, deadline: float | None) -> None:
        wait = SILENCE if deadline is None else min(SILENCE, deadline - monotonic())
        try:
            connection.receive(timeout=max(wait, 0.001))
        except TimedOutError:
            self._check(deadline)
            raise
        self._take_in(connection)

    def _take_in(self, connection: Connection) -> None:
        with self._lock:
            self._state.feed(connection.reader.take_body())
            repeated, self._state.repeated = self._state.repeated, []
        for part in fitting_ids(repeated):
            self._acknowledge(Acknowledgement(self.consumer_id, part))
        if connection.reader.complete and not self._state.finished:
            raise ConnectionFailedError("the server closed the stream")

    def _check(self, deadline: float | None) -> None:
        if deadline is not None and monotonic() >= deadline:
            raise _QuietError(f"no event on {self._state.query} within {self._timeout:g}s")

    def _lose(self, error: BusError) -> None:
        """The connection broke: try another one later, or raise *error* if that can't help."""
        if isinstance(error, _QuietError):
            raise TimedOutError(error.message) from None
        self._disconnect()
        if self._closed or self._state.finished:
            return
        if not reconnects(error):
            self.close()
            raise error
        log.info("stream of %s broke and will be taken up again: %s", self._state.query, error)

    def _reconnect(self, deadline: float | None) -> None:
        delay = self._state.backoff.next()
        if deadline is not None:
            delay = min(delay, deadline - monotonic())
        try:
            self._closing.get(timeout=max(delay, 0))
        except Empty:
            self._check(deadline)
            self._connect(monotonic() + self._patience)

    def open(self) -> None:
        """Subscribe for the first time. Raises what the server refuses that with, or that it can't be reached."""
        deadline = monotonic() + self._patience
        retry = Retry(deadline=deadline, repeatable=True)
        while self._connection is None:
            try:
                self._connect(deadline)
            except BusError as error:
                sleep(retry.delay(error, now=monotonic()))

    def _connect(self, deadline: float) -> None:
        connection = self._pool.connect(deadline=deadline)
        try:
            self._begin(connection, deadline)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _begin(self, connection: Connection, deadline: float) -> None:
        with self._lock:
            parameters, last_event_id = self._state.target()
        connection.send(self._requests.subscribe(parameters, last_event_id=last_event_id), deadline=deadline)
        reader = connection.reader
        while reader.head is None or (reader.head.status != 200 and not reader.complete):
            connection.receive(timeout=max(deadline - monotonic(), 0.001))
        if reader.head.status != 200:
            check(reader.response())
        self._state.connected(self, reader.head.header(CONSUMER_ID))
        self._take_in(connection)

    def settle(self, event: Delivery, said: Acknowledgement) -> None:
        """Say *said* about *event*; what came too late because the connection broke is made good later."""
        try:
            self._acknowledge(said)
        except BusError as error:
            if self._closed or self._state.finished or not too_late(error, event.session):
                raise
            log.warning("%s of event %s came after its connection broke", said.action, event.id)
            if said.reply not in (b"", b"null"):
                return
        if settles(said):
            with self._lock:
                self._state.settled(event)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        with self._lock:
            self._state.disconnected()

    def close(self) -> None:
        """End the subscription. May be called from any thread, and more than once."""
        if self._closed:
            return
        self._closed = True
        self._closing.put(None)
        connection = self._connection
        if connection is not None:
            connection.interrupt()
            connection.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._connection else "reconnecting"
        return f"<Stream of {self._state.query}, {state}>"


class _QuietError(BusError):
    """The caller's own time-out: the connection is as good as before."""
