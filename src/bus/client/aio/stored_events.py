"""Events that are stored: read one by one, deleted for good."""
# ruff: noqa: ASYNC109  (a timeout given by the caller is part of the request and of the error it ends in)

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from bus.client.aio.calls import AsyncCalls
from bus.client.core.get_options import subjects_in
from bus.client.core.outcomes import answer_as
from bus.client.core.stored_events import PATH, Deleted, deletion_query, path_of
from bus.event import Event


class AsyncStoredEvents:
    """The stored events of a server, which `AsyncClient.events` has."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def get(self, event_id: str, *, timeout: float | None = None) -> Event:
        """One event.

        Parameters:
            event_id: the event's id.
            timeout: seconds it may take; by default the client's.

        Returns:
            The event; there is nothing to acknowledge.

        Raises:
            UnknownEventError: there is no such event, it was deleted, or the token may not subscribe to it.
            ConnectionFailedError: the server can't be reached.
        """
        return await self._calls.ask(path_of(event_id), answer_as(Event), timeout=timeout)

    async def delete_matching(
        self,
        subject: str | Sequence[str],
        *,
        before: int | datetime | str | None = None,
        timeout: float | None = None,
    ) -> int:
        """Delete events for good. When this returns, their bytes are gone from the server's disk.

        Their indexes are not given again, subscribers pass by, and consumers needn't settle them. Dead letters that
        stand for them go with them. It reads all of the log, so it may take a while.

        Parameters:
            subject: a pattern such as ``users.17.>``, or several of one namespace.
            before: only those before this index, or created before this time: a ``datetime`` with a time zone or RFC
                3339 text.
            timeout: seconds it may take; by default the client's.

        Returns:
            How many events were deleted.

        Raises:
            InvalidError: a pattern or a time can't be understood.
            UnknownNamespaceError: the server doesn't serve this namespace.
            StorageError: the server can't delete all of them, because its disk is full or fails.
            ConnectionFailedError: the server can't be reached.
        """
        query = deletion_query(subjects_in(subject), before)
        deleted = await self._calls.ask(PATH, answer_as(Deleted), method="DELETE", query=query, timeout=timeout)
        return deleted.deleted

    async def delete(self, event_id: str, *, timeout: float | None = None) -> int:
        """Delete one event for good, and dead letters that stand for it.

        Parameters:
            event_id: the event's id.
            timeout: seconds it may take; by default the client's.

        Returns:
            How many events were deleted.

        Raises:
            UnknownEventError: there is no such event, or it was deleted.
            StorageError: the server can't delete it, because its disk is full or fails.
            ConnectionFailedError: the server can't be reached.
        """
        deleted = await self._calls.ask(path_of(event_id), answer_as(Deleted), method="DELETE", timeout=timeout)
        return deleted.deleted

    def __repr__(self) -> str:
        return f"<AsyncStoredEvents of {self._calls!r}>"
