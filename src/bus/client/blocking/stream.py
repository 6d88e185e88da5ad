"""A subscription read from a blocking socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Lock
from time import monotonic, sleep
from types import TracebackType

from bus.client.blocking.connection import Connection, Pool
from bus.client.blocking.delivery import Delivery
from bus.client.core import forks
from bus.client.core.delivery import Delivered
from bus.client.core.handle_spans import HandleSpans
from bus.client.core.jobs import Jobs
from bus.client.core.outcomes import check
from bus.client.core.request import Acknowledgement, Requests
from bus.client.core.retry import Retry
from bus.client.core.stream import StreamState, reconnects
from bus.errors import BusError, ConnectionFailedError, TimedOutError


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
    ) -> None:
        self._state = state
        self._requests = requests
        self._pool = pool
        self._acknowledge = acknowledge
        self._patience = patience
        self._timeout = state.options.timeout
        self._connection: Connection | None = None
        self._lock = Lock()  # guards the state, which acknowledgements change from other threads
        self._closing: SimpleQueue[None] = SimpleQueue()  # its put is safe in a signal handler
        self._closed = False
        forks.on_fork(self._forked)

    @property
    def consumer_id(self) -> str:
        """The id the server gave to this connection, empty while there is none."""
        connection = self._state.connection
        return connection.consumer_id if connection else ""

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
            self._check(deadline)
            self._advance(deadline)
        self.close()
        raise StopIteration

    def _check(self, deadline: float | None) -> None:
        """Raise when the caller's own time is up; the connection is as good as before."""
        if deadline is not None and monotonic() >= deadline:
            raise TimedOutError(f"no event on {self._state.options} within {self._timeout:g}s")

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
        silent_at, jobs = connection.heard_at + self._state.silence, self._state.jobs
        until = silent_at if deadline is None else min(silent_at, deadline)
        wait = until - monotonic()
        try:
            connection.receive(timeout=wait if jobs is None else min(wait, jobs.tick))
        except TimedOutError:
            if monotonic() >= silent_at:
                raise ConnectionFailedError(f"the stream was silent for {self._state.silence:g}s") from None
        if jobs is not None:
            jobs.wake()
        self._take_in(connection)

    def _take_in(self, connection: Connection) -> None:
        with self._lock:
            self._state.feed(connection.reader.take_body())
            late = self._state.late.due()
        for said in late:
            self._say_late(said)
        if connection.reader.complete and not self._state.finished:
            raise ConnectionFailedError("the server closed the stream")

    def _say_late(self, said: Acknowledgement) -> None:
        try:
            self._acknowledge(said)
        except BusError as error:
            self._state.late.failed(said, error)
        else:
            with self._lock:
                self._state.late.done(said)

    def _lose(self, error: BusError) -> None:
        """The connection broke: try another one later, or raise *error* if that can't help."""
        self._disconnect()
        if self._closed or self._state.finished:
            return
        if not (reconnects(error) or self._state.yields(error)):
            self.close()
            raise error
        self._state.report_lost(error)

    def _reconnect(self, deadline: float | None) -> None:
        delay = self._state.backoff.next()
        if deadline is not None:
            delay = min(delay, deadline - monotonic())
        try:
            self._closing.get(timeout=max(delay, 0))
        except Empty:
            if deadline is None or monotonic() < deadline:
                self._connect(monotonic() + self._patience)

    def open(self) -> None:
        """Subscribe for the first time. Raises what the server refuses that with, or that it can't be reached."""
        deadline = monotonic() + self._patience
        retry = Retry(deadline=deadline, repeatable=True)
        while self._connection is None:
            try:
                self._connect(deadline)
            except BusError as error:
                self._disconnect()
                if not self._state.yields(error):
                    sleep(retry.delay(error, now=monotonic()))

    def _connect(self, deadline: float) -> None:
        self._requests.renew()
        connection = self._pool.connect(deadline=deadline)
        try:
            self._begin(connection, deadline)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._state.report_standing()

    def _begin(self, connection: Connection, deadline: float) -> None:
        with self._lock:
            parameters, last_event_id = self._state.target()
        connection.send(self._requests.subscribe(parameters, last_event_id=last_event_id), deadline=deadline)
        reader = connection.reader
        while reader.head is None or (reader.head.status != 200 and not reader.complete):
            connection.receive(timeout=connection.left(deadline))
        if reader.head.status != 200:
            check(reader.response())
        with self._lock:
            self._state.connected(self, reader.head)
        self._take_in(connection)
        while not self._state.stands and not self._state.finished:
            connection.receive(timeout=connection.left(deadline))
            self._take_in(connection)

    def settle(self, event: Delivered, said: Acknowledgement) -> None:
        """Say *said* about *event*; what can't be said because the connection broke is said when it comes again."""
        attempts = event.attempts
        try:
            self._acknowledge(said)
        except BusError as error:
            if event.consumer_id != said.consumer_id:  # its job took a new delivery over meanwhile
                self.settle(event, replace(said, consumer_id=event.consumer_id))
            elif self._closed or not self._put_off(event, said, error):
                raise
        else:
            with self._lock:
                self._state.settled(event, said, attempts=attempts)

    def _put_off(self, event: Delivered, said: Acknowledgement, error: BusError) -> bool:
        with self._lock:
            return self._state.put_off(event, said, error)

    def trace(self, spans: HandleSpans) -> None:
        """Tell *spans* what becomes of the events."""
        self._state.spans = spans

    @property
    def spans(self) -> HandleSpans | None:
        """Who is told what becomes of the events, if somebody traces."""
        return self._state.spans

    # -- what a worker runs

    def serve(self, jobs: Jobs[Delivery]) -> None:
        """Have what comes from now on known to *jobs*, so that nothing is begun twice or too late."""
        with self._lock:
            self._state.serve(jobs)

    # -- the end

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
        self._state.closed()
        connection = self._connection
        if connection is not None:
            connection.interrupt()
            connection.close()

    def _forked(self) -> None:
        """A child has neither the threads that hold the lock nor a right to the connection."""
        self._lock = Lock()
        self._closing = SimpleQueue()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._state.forked()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._connection else "reconnecting"
        return f"<Stream of {self._state.options}, {state}>"
