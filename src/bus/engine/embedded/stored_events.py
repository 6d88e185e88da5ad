"""What is asked of the events of an engine that are stored, and done to them."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Mapping

from bus.engine.base import unknown_event_id, unknown_namespace
from bus.engine.consumer.consumer import Consumer
from bus.engine.embedded.deletion import Deletion
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.reading.start_position import find, find_time
from bus.subject import Filter


class StoredEvents:
    """The events of *namespaces*; *consumers* gives those of one, of all kinds."""

    def __init__(
        self,
        namespaces: Mapping[str, LogNamespace],
        consumers: Callable[[LogNamespace], Iterator[Consumer]],
        loop: AbstractEventLoop,
    ) -> None:
        self._namespaces = namespaces
        self._deletion = Deletion(consumers, loop)

    async def frame_of(self, event_id: str) -> bytes:
        _, _, frame = self._find(event_id)
        return frame

    async def delete_matching(self, wanted: Filter, *, before: int | None = None, older_than: int | None = None) -> int:
        namespace = self._namespaces.get(wanted.namespace)
        if namespace is None:
            raise unknown_namespace(wanted.namespace)
        if older_than is not None:
            before = find_time(namespace, older_than)
        return await self._deletion.delete_matching(namespace, wanted, before=before)

    async def delete_one(self, event_id: str) -> int:
        namespace, index, _ = self._find(event_id)
        return await self._deletion.delete_one(namespace, index)

    def _find(self, event_id: str) -> tuple[LogNamespace, int, bytes]:
        """The namespace, index and frame of an event. Raises `UnknownEventError`."""
        for namespace in self._namespaces.values():
            index = find(namespace, event_id)
            frame = namespace.frame(index) if index is not None else None
            if index is not None and frame:
                return namespace, index, frame
        raise unknown_event_id(event_id)

    def __repr__(self) -> str:
        return f"<StoredEvents of {', '.join(self._namespaces)}>"
