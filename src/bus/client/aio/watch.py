"""A server that is watched on an event loop."""

from __future__ import annotations

from types import TracebackType

from bus.client.aio.event_source import AsyncEventSource
from bus.client.core.watch import Counts, WatchState


class AsyncWatch:
    """What a server counts, again and again; made by `AsyncClient.watch`.

    It begins with the first counts asked for, and reconnects by itself. One task may iterate it.
    """

    def __init__(self, state: WatchState, source: AsyncEventSource) -> None:
        self._state = state
        self._source = source
        self._begun = False

    def __aiter__(self) -> AsyncWatch:
        return self

    async def __anext__(self) -> Counts:
        """Wait for the next counts.

        Returns:
            All there is, as it is now.

        Raises:
            StopAsyncIteration: there is no more to come, or it was closed.
            BusError: what can't get better by reconnecting, such as `ForbiddenError`.
        """
        if not self._begun:
            await self._source.open()
            self._begun = True
        while not self._source.closed:
            counts = self._state.pop()
            if counts is not None:
                return counts
            if self._state.finished:
                break
            await self._source.advance()
        await self.close()
        raise StopAsyncIteration

    async def close(self) -> None:
        """Watch no more. May be called more than once."""
        self._source.close()

    async def __aenter__(self) -> AsyncWatch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncWatch of {self._source.endpoint}, {'closed' if self._source.closed else self._state}>"
