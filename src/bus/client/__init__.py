"""The Python SDK: `Client` for programs with threads, `AsyncClient` for programs with an event loop.

Nothing is loaded before it is used: an import of one client doesn't pay for the other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bus.client.aio.client import AsyncClient as AsyncClient
    from bus.client.aio.consumers import AsyncConsumers as AsyncConsumers
    from bus.client.aio.delivery import AsyncDelivery as AsyncDelivery
    from bus.client.aio.namespaces import AsyncNamespaces as AsyncNamespaces
    from bus.client.aio.schedules import AsyncSchedules as AsyncSchedules
    from bus.client.aio.stored_events import AsyncStoredEvents as AsyncStoredEvents
    from bus.client.aio.stream import AsyncStream as AsyncStream
    from bus.client.aio.watch import AsyncWatch as AsyncWatch
    from bus.client.aio.worker import AsyncWorker as AsyncWorker
    from bus.client.blocking.client import Client as Client
    from bus.client.blocking.consumers import Consumers as Consumers
    from bus.client.blocking.delivery import Delivery as Delivery
    from bus.client.blocking.namespaces import Namespaces as Namespaces
    from bus.client.blocking.schedules import Schedules as Schedules
    from bus.client.blocking.stored_events import StoredEvents as StoredEvents
    from bus.client.blocking.stream import Stream as Stream
    from bus.client.blocking.watch import Watch as Watch
    from bus.client.blocking.worker import Worker as Worker
    from bus.client.core.decode import UndecodableEventError as UndecodableEventError
    from bus.client.core.draft import EventFields as EventFields
    from bus.client.core.schedules import Schedule as Schedule
    from bus.client.core.stored_events import EventPage as EventPage
    from bus.client.core.stream_notices import Dropped as Dropped
    from bus.client.core.stream_notices import Gap as Gap
    from bus.client.core.watch import Counts as Counts

_HOMES = {
    "AsyncClient": "aio.client",
    "AsyncConsumers": "aio.consumers",
    "AsyncDelivery": "aio.delivery",
    "AsyncNamespaces": "aio.namespaces",
    "AsyncSchedules": "aio.schedules",
    "AsyncStoredEvents": "aio.stored_events",
    "AsyncStream": "aio.stream",
    "AsyncWatch": "aio.watch",
    "AsyncWorker": "aio.worker",
    "Client": "blocking.client",
    "Consumers": "blocking.consumers",
    "Counts": "core.watch",
    "Delivery": "blocking.delivery",
    "Dropped": "core.stream_notices",
    "EventFields": "core.draft",
    "EventPage": "core.stored_events",
    "Gap": "core.stream_notices",
    "Namespaces": "blocking.namespaces",
    "Schedule": "core.schedules",
    "Schedules": "blocking.schedules",
    "StoredEvents": "blocking.stored_events",
    "Stream": "blocking.stream",
    "UndecodableEventError": "core.decode",
    "Watch": "blocking.watch",
    "Worker": "blocking.worker",
}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
