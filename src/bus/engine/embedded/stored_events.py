"""What is asked of the events of an engine that are stored, and done to them."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Mapping, Sequence

from bus.engine.administration import EventPage, StoredEvent
from bus.engine.base import unknown_namespace
from bus.engine.embedded.deletion import Deletion
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.rewriter import Rewriter
from bus.engine.embedded.subjects.listing import list_subjects
from bus.engine.reading.newest_first import newest_first
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.reading.start_position import find, find_time
from bus.namespace import SubjectPage
from bus.subject import Filter


class StoredEvents:
    """The events of *namespaces*, whose segments *rewriter* writes anew. Pages are read by *turns*."""

    def __init__(self, namespaces: Mapping[str, LogNamespace], rewriter: Rewriter, turns: RoundRobin) -> None:
        self._namespaces = namespaces
        self._turns = turns
        self._rewriter = rewriter
        self._deletion = Deletion(rewriter)

    @property
    def turn(self) -> Lock:
        """Whoever has it keeps segments from being written anew meanwhile."""
        return self._rewriter.turn

    async def find(self, event_id: str, *, namespace: str = "") -> Sequence[StoredEvent]:
        asked = [self._named(namespace)] if namespace else list(self._namespaces.values())
        found = [_find_in(one, event_id) for one in asked]
        return [event for event in found if event]

    async def page(
        self, wanted: Filter, *, before: int | None = None, older_than: int | None = None, limit: int
    ) -> EventPage:
        namespace = self._named(wanted.namespace)
        if older_than is not None:
            before = find_time(namespace, older_than)
        end = namespace.next if before is None else before
        places = await namespace.subjects.places(wanted, end, events=limit)
        return await self._turns.run(newest_first(namespace, wanted, before=before, limit=limit, places=places))

    async def subjects(self, wanted: Filter, *, after: str, limit: int) -> SubjectPage:
        return await list_subjects(self._named(wanted.namespace).subjects, wanted, after=after, limit=limit)

    async def delete_matching(self, wanted: Filter, *, before: int | None = None, older_than: int | None = None) -> int:
        namespace = self._named(wanted.namespace)
        if older_than is not None:
            before = find_time(namespace, older_than)
        return await self._deletion.delete_matching(namespace, wanted, before=before)

    async def delete_one(self, event: StoredEvent) -> int:
        return await self._deletion.delete_one(self._named(event.namespace), event.index)

    def _named(self, name: str) -> LogNamespace:
        """The namespace of this name. Raises `UnknownNamespaceError`."""
        try:
            return self._namespaces[name]
        except KeyError:
            raise unknown_namespace(name) from None

    def __repr__(self) -> str:
        return f"<StoredEvents of {', '.join(self._namespaces)}>"


def _find_in(namespace: LogNamespace, event_id: str) -> StoredEvent | None:
    """The first event of *namespace* with this id that is left."""
    index = find(namespace, event_id, since=namespace.first)
    frame = namespace.frame(index) if index is not None else None
    return StoredEvent(namespace.name, index, frame) if index is not None and frame else None
