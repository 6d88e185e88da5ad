"""What is asked of the events of streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from bus.engine.administration import EventPage, StoredEvent
from bus.engine.base import unknown_namespace
from bus.engine.jetstream.error_mapping import not_reached
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.not_supported import NO_DELETION
from bus.engine.jetstream.times import find_time
from bus.engine.reading.newest_first import newest_first
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.reading.start_position import find
from bus.errors import NotSupportedError
from bus.namespace import SubjectDescription, SubjectPage
from bus.nats import JetStream, NatsError
from bus.subject import Filter
from bus.units import format_time, parse_time


class StreamEvents:
    """The events of *namespaces*. Pages are read by *turns*."""

    def __init__(
        self, jetstream: JetStream, naming: Naming, namespaces: Mapping[str, JetNamespace], turns: RoundRobin
    ) -> None:
        self._jetstream = jetstream
        self._naming = naming
        self._namespaces = namespaces
        self._turns = turns

    async def page(
        self, wanted: Filter, *, before: int | None = None, older_than: int | None = None, limit: int
    ) -> EventPage:
        namespace = self._named(wanted.namespace)
        await namespace.settled()
        if older_than is not None:
            before = await find_time(self._jetstream, namespace, older_than)
        return await self._turns.run(newest_first(namespace, wanted, before=before, limit=limit))

    async def find(self, event_id: str, *, namespace: str = "") -> Sequence[StoredEvent]:
        names = [self._named(namespace)] if namespace else [*self._namespaces.values()]
        found = [await self._find_in(one, event_id) for one in names]
        return [event for event in found if event]

    async def subjects(self, wanted: Filter, *, after: str, limit: int) -> SubjectPage:
        namespace = self._named(wanted.namespace)
        counts: dict[str, int] = {}
        try:
            for pattern in wanted.patterns:
                subject = self._naming.subject(pattern.text)
                info = await self._jetstream.stream(namespace.stream, subjects=subject)
                counts |= info.state.subjects or {}
            names = sorted(counts, key=str.encode)
            later = [name for name in names if self._naming.original(name).encode() > after.encode()]
            rows = await asyncio.gather(*[self._row(namespace, name, counts[name]) for name in later[:limit]])
        except NatsError as error:
            raise not_reached(error, f"counting subjects of namespace {namespace.name}") from error
        return SubjectPage([*rows], next=rows[-1].subject if len(later) > limit else "")

    async def _row(self, namespace: JetNamespace, name: str, events: int) -> SubjectDescription:
        last = await self._jetstream.get_last(namespace.stream, name)
        time = format_time(parse_time(last.time))
        return SubjectDescription(self._naming.original(name), events, last.seq, time)

    async def delete_matching(self, wanted: Filter, *, before: int | None = None, older_than: int | None = None) -> int:
        self._named(wanted.namespace)
        raise NotSupportedError(NO_DELETION)

    async def delete_one(self, event: StoredEvent) -> int:
        raise NotSupportedError(NO_DELETION)

    async def _find_in(self, namespace: JetNamespace, event_id: str) -> StoredEvent | None:
        await namespace.settled()
        await namespace.bring_id(event_id)
        index = find(namespace, event_id, since=namespace.first)
        frame = namespace.frame(index) if index is not None else None
        return StoredEvent(namespace.name, index, frame) if index is not None and frame else None

    def _named(self, name: str) -> JetNamespace:
        """The namespace of this name. Raises `UnknownNamespaceError`."""
        try:
            return self._namespaces[name]
        except KeyError:
            raise unknown_namespace(name) from None
