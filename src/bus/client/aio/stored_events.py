"""Events that are stored: read one by one or the newest first, deleted for good."""
# ruff: noqa: ASYNC109  (a timeout given by the caller is part of the request and of the error it ends in)

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from bus.client.aio.calls import AsyncCalls
from bus.client.core.get_options import subjects_in
from bus.client.core.outcomes import answer_as
from bus.client.core.stored_events import (
    PAGE,
    PATH,
    SUBJECTS,
    Deleted,
    EventPage,
    events_query,
    namespace_query,
    page_in,
    page_query,
    path_of,
    subjects_query,
)
from bus.event import Event
from bus.namespace import SubjectDescription, SubjectPage


class AsyncStoredEvents:
    """The stored events of a server, which `AsyncClient.events` has."""

    def __init__(self, calls: AsyncCalls) -> None:
        self._calls = calls

    async def get(self, event_id: str, *, namespace: str | None = None, timeout: float | None = None) -> Event:
        """One event.

        Parameters:
            event_id: the event's id.
            namespace: where it is, which matters if several namespaces have an event with this id.
            timeout: seconds it may take; by default the client's.

        Returns:
            The event; there is nothing to acknowledge.

        Raises:
            UnknownEventError: there is no such event, it was deleted, or the token may not subscribe to it.
            AmbiguousEventError: several namespaces have one with this id; its ``namespaces`` are these.
            UnknownNamespaceError: the server doesn't serve this namespace.
            ForbiddenError: the token may do nothing in this namespace.
            ConnectionFailedError: the server can't be reached.
        """
        query = namespace_query(namespace)
        return await self._calls.ask(path_of(event_id), answer_as(Event), query=query, timeout=timeout)

    async def page(
        self,
        subject: str | Sequence[str],
        *,
        before: int | datetime | str | None = None,
        limit: int = 50,
        payload_type: Any = Any,
        timeout: float | None = None,
    ) -> EventPage:
        """Some events, the newest first; `newest_first` goes on with the pages after it.

        What one page costs the server is bounded, so it may have few events, or none, and still say where the next one
        begins. What was deleted or has expired isn't among them.

        Parameters:
            subject: a pattern such as ``orders.>``, or several of one namespace.
            before: only those before this index, or created before this time: a ``datetime`` with a time zone or RFC
                3339 text.
            limit: how many at most, up to 1,000; together they are about 1 MiB at most.
            payload_type: what payloads are decoded as, any type msgspec knows; ``msgspec.Raw`` leaves them as
                they are.
            timeout: seconds it may take; by default the client's.

        Returns:
            The events, and where the next page begins.

        Raises:
            InvalidError: a pattern, a time or a payload can't be understood.
            ForbiddenError: the token may not subscribe to all of it.
            UnknownNamespaceError: the server doesn't serve this namespace.
            ConnectionFailedError: the server can't be reached.
        """
        query = page_query(subjects_in(subject), before, limit)
        return await self._calls.ask(PATH, partial(page_in, payload_type=payload_type), query=query, timeout=timeout)

    async def newest_first(
        self, subject: str | Sequence[str], *, before: int | datetime | str | None = None, payload_type: Any = Any
    ) -> AsyncIterator[Event]:
        """All events that a pattern takes, the newest first, a page at a time.

        Parameters:
            subject: a pattern such as ``orders.>``, or several of one namespace.
            before: only those before this index, or created before this time.
            payload_type: what payloads are decoded as, any type msgspec knows.

        Returns:
            The events, one by one; it raises what `page` does.
        """
        while True:
            page = await self.page(subject, before=before, limit=PAGE, payload_type=payload_type)
            for event in page.events:
                yield event
            if page.next is None:
                return
            before = page.next

    async def subjects(
        self, match: str | Sequence[str], *, limit: int = 1000, timeout: float | None = None
    ) -> list[SubjectDescription]:
        """The subjects that have events, with how many, and which is the newest. The log isn't read for it.

        Parameters:
            match: a pattern such as ``orders.>``, or several of one namespace.
            limit: how many subjects at most.
            timeout: seconds each page may take; by default the client's.

        Returns:
            The subjects, sorted by their bytes in UTF-8.

        Raises:
            InvalidError: a pattern can't be understood.
            UnknownNamespaceError: the server doesn't serve this namespace.
            ForbiddenError: the token may not subscribe to all that the pattern takes.
            ConnectionFailedError: the server can't be reached.
        """
        found: list[SubjectDescription] = []
        patterns, after = subjects_in(match), ""
        while len(found) < limit:
            query = subjects_query(patterns, limit=limit - len(found), after=after)
            page = await self._calls.ask(SUBJECTS, answer_as(SubjectPage), query=query, timeout=timeout)
            found += page.subjects
            if not (after := page.next):
                break
        return found

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
        query = events_query(subjects_in(subject), before)
        deleted = await self._calls.ask(PATH, answer_as(Deleted), method="DELETE", query=query, timeout=timeout)
        return deleted.deleted

    async def delete(self, event_id: str, *, namespace: str | None = None, timeout: float | None = None) -> int:
        """Delete one event for good, and dead letters that stand for it.

        Parameters:
            event_id: the event's id.
            namespace: where it is, which matters if several namespaces have an event with this id.
            timeout: seconds it may take; by default the client's.

        Returns:
            How many events were deleted.

        Raises:
            UnknownEventError: there is no such event, or it was deleted.
            AmbiguousEventError: several namespaces have one with this id, and none was deleted; its ``namespaces`` are
                these.
            UnknownNamespaceError: the server doesn't serve this namespace.
            ForbiddenError: the token may not manage it.
            StorageError: the server can't delete it, because its disk is full or fails.
            ConnectionFailedError: the server can't be reached.
        """
        path, query = path_of(event_id), namespace_query(namespace)
        deleted = await self._calls.ask(path, answer_as(Deleted), method="DELETE", query=query, timeout=timeout)
        return deleted.deleted

    def __repr__(self) -> str:
        return f"<AsyncStoredEvents of {self._calls!r}>"
