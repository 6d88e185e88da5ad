"""A subscription on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import TracebackType

from bus.client.aio.delivery import AsyncDelivery
from bus.client.aio.event_source import AsyncEventSource
from bus.client.core.delivery import Delivered
from bus.client.core.handle_spans import HandleSpans
from bus.client.core.jobs import Jobs
from bus.client.core.request import Acknowledgement
from bus.client.core.stream import StreamState
from bus.errors import BusError, TimedOutError


class AsyncStream:
    """The events of a subscription, one after another; made by `AsyncClient.get`.

    The subscription begins with ``async with``, or with the first event asked for. It reconnects by itself
    and goes on where it was. One task may iterate it.
    """

    def __init__(
        self,
        state: StreamState[AsyncDelivery],
        source: AsyncEventSource,
        *,
        acknowledge: Callable[[Acknowledgement], Awaitable[None]],
    ) -> None:
        state.stream = self
        self._state = state
        self._source = source
        self._acknowledge = acknowledge
        self._timeout = state.options.timeout
        self._begun = False

    @property
    def consumer_id(self) -> str:
        """The id the server gave to this connection, empty while there is none."""
        connection = self._state.connection
        return connection.consumer_id if connection else ""

    def __aiter__(self) -> AsyncStream:
        return self

    async def __anext__(self) -> AsyncDelivery:
        """Wait for the next event.

        Returns:
            The event.

        Raises:
            StopAsyncIteration: the subscription has ended, or was closed.
            TimedOutError: none came within the stream's timeout; it may be called again.
            BusError: what can't get better by reconnecting, such as `UnknownNamespaceError`.
        """
        event = self._state.pop()
        return event if event is not None else await self._wait()

    async def _wait(self) -> AsyncDelivery:
        if not self._begun:
            await self.open()
        try:
            async with asyncio.timeout(self._timeout) as limit:
                event = await self._find()
        except TimeoutError:
            if not limit.expired():
                raise  # it is an error of ours
            raise TimedOutError(f"no event on {self._state.options} within {self._timeout:g}s") from None
        if event is not None:
            return event
        await self.close()
        raise StopAsyncIteration

    async def _find(self) -> AsyncDelivery | None:
        """The next event, None at the end."""
        await self._say_late()  # of what came while nobody waited
        while not self._source.closed:
            event = self._state.pop()
            if event is not None or self._state.finished:
                return event
            await self._source.advance()
            await self._say_late()
        return None

    async def _say_late(self) -> None:
        for said in self._state.late.due():
            try:
                await self._acknowledge(said)
            except BusError as error:
                self._state.late.failed(said, error)
            else:
                self._state.late.done(said)

    async def open(self) -> None:
        """Subscribe for the first time. Raises what the server refuses that with, or that it can't be reached."""
        self._begun = True
        while True:
            try:
                return await self._source.open()
            except BusError as error:
                if not self._state.yields(error):
                    raise

    async def settle(self, event: Delivered, said: Acknowledgement) -> None:
        """Say *said* about *event*; what can't be said because the connection broke is said when it comes again."""
        attempts = event.attempts
        try:
            await self._acknowledge(said)
        except BusError as error:
            if event.consumer_id != said.consumer_id:  # its job took a new delivery over meanwhile
                await self.settle(event, replace(said, consumer_id=event.consumer_id))
            elif self._source.closed or not self._state.put_off(event, said, error):
                raise
        else:
            self._state.settled(event, said, attempts=attempts)

    def trace(self, spans: HandleSpans) -> None:
        """Tell *spans* what becomes of the events."""
        self._state.spans = spans

    @property
    def spans(self) -> HandleSpans | None:
        """Who is told what becomes of the events, if somebody traces."""
        return self._state.spans

    # -- what a worker runs

    def serve(self, jobs: Jobs[AsyncDelivery]) -> None:
        """Have what comes from now on known to *jobs*, so that nothing is begun twice or too late."""
        self._state.serve(jobs)

    def wake(self) -> None:
        """Look at the clock: a loop that stood still can't tell how old what it finds is."""
        jobs = self._state.jobs
        if jobs is None:
            return
        if not self._source.connected:
            jobs.rest()
            return
        try:
            jobs.wake()
        except BusError as error:
            self._source.fail(error)

    # -- the end

    async def close(self) -> None:
        """End the subscription. May be called more than once."""
        self._source.close()

    async def __aenter__(self) -> AsyncStream:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        state = "closed" if self._source.closed else "open" if self._source.connected else "not connected"
        return f"<AsyncStream of {self._state.options}, {state}>"
