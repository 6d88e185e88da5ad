"""A subscription read from a blocking socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf
from time import monotonic
from types import TracebackType

from bus.client.blocking.delivery import Delivery
from bus.client.blocking.event_source import EventSource
from bus.client.core.delivery import Delivered
from bus.client.core.handle_spans import HandleSpans
from bus.client.core.jobs import Jobs
from bus.client.core.request import Acknowledgement
from bus.client.core.stream import StreamState
from bus.errors import BusError, TimedOutError


class Stream:
    """The events of a subscription, one after another; made by `Client.get`.

    It reconnects by itself and goes on where it was. It is to be iterated by one thread; events may be
    acknowledged and the stream closed from any.
    """

    def __init__(
        self,
        state: StreamState[Delivery],
        source: EventSource,
        *,
        acknowledge: Callable[[Acknowledgement], None],
    ) -> None:
        state.stream = self
        self._state = state
        self._source = source  # its lock guards the state, which acknowledgements change from other threads
        self._acknowledge = acknowledge
        self._timeout = state.options.timeout

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
        deadline = inf if self._timeout is None else monotonic() + self._timeout
        while not self._source.closed:
            event = self._state.pop()
            if event is not None:
                return event
            if self._state.finished:
                break
            self._check(deadline)
            self._advance(deadline)
        self.close()
        raise StopIteration

    def _check(self, deadline: float) -> None:
        """Raise when the caller's own time is up; the connection is as good as before."""
        if monotonic() >= deadline:
            raise TimedOutError(f"no event on {self._state.options} within {self._timeout:g}s")

    def _advance(self, deadline: float) -> None:
        jobs = self._state.jobs
        self._source.advance(deadline, tick=inf if jobs is None else jobs.tick)
        self._say_late()

    def _say_late(self) -> None:
        with self._source.lock:
            late = self._state.late.due()
        for said in late:
            try:
                self._acknowledge(said)
            except BusError as error:
                self._state.late.failed(said, error)
            else:
                with self._source.lock:
                    self._state.late.done(said)

    def open(self) -> None:
        """Subscribe for the first time. Raises what the server refuses that with, or that it can't be reached."""
        while True:
            try:
                return self._source.open()
            except BusError as error:
                if not self._state.yields(error):
                    raise

    def settle(self, event: Delivered, said: Acknowledgement) -> None:
        """Say *said* about *event*; what can't be said because the connection broke is said when it comes again."""
        attempts = event.attempts
        try:
            self._acknowledge(said)
        except BusError as error:
            if event.consumer_id != said.consumer_id:  # its job took a new delivery over meanwhile
                self.settle(event, replace(said, consumer_id=event.consumer_id))
            elif self._source.closed or not self._put_off(event, said, error):
                raise
        else:
            with self._source.lock:
                self._state.settled(event, said, attempts=attempts)

    def _put_off(self, event: Delivered, said: Acknowledgement, error: BusError) -> bool:
        with self._source.lock:
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
        with self._source.lock:
            self._state.serve(jobs)

    # -- the end

    def close(self) -> None:
        """End the subscription. May be called from any thread, and more than once."""
        self._source.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._source.closed else "open" if self._source.connected else "reconnecting"
        return f"<Stream of {self._state.options}, {state}>"
