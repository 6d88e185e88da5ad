"""A server that is watched from a blocking socket."""
# Generated from bus/client/aio/watch.py by `make generate`: change that one.

from __future__ import annotations

from types import TracebackType

from bus.client.blocking.event_source import EventSource
from bus.client.core.watch import Counts, WatchState


class Watch:
    """What a server counts, again and again; made by `Client.watch`.

    It begins with the first counts asked for, and reconnects by itself. It is to be iterated by one thread, and may be
    closed from any.
    """

    def __init__(self, state: WatchState, source: EventSource) -> None:
        self._state = state
        self._source = source
        self._begun = False

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Counts:
        """Wait for the next counts.

        Returns:
            All there is, as it is now.

        Raises:
            StopIteration: there is no more to come, or it was closed.
            BusError: what can't get better by reconnecting, such as `ForbiddenError`.
        """
        if not self._begun:
            self._source.open()
            self._begun = True
        while not self._source.closed:
            counts = self._state.pop()
            if counts is not None:
                return counts
            if self._state.finished:
                break
            self._source.advance()
        self.close()
        raise StopIteration

    def close(self) -> None:
        """Watch no more. May be called from any thread, and more than once."""
        self._source.close()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Watch of {self._source.endpoint}, {'closed' if self._source.closed else self._state}>"
