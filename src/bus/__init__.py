"""Bus, a persistent message bus: `Client` and `AsyncClient` talk to a server, ``bus server`` is one.

    from bus import Client

    client = Client("http://localhost:2021")
    client.put("app.users.created", {"name": "Alice"})

What is named here is loaded when it is first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bus.client import AsyncClient as AsyncClient
    from bus.client import AsyncConsumers as AsyncConsumers
    from bus.client import AsyncDelivery as AsyncDelivery
    from bus.client import AsyncNamespaces as AsyncNamespaces
    from bus.client import AsyncSchedules as AsyncSchedules
    from bus.client import AsyncStoredEvents as AsyncStoredEvents
    from bus.client import AsyncStream as AsyncStream
    from bus.client import AsyncWatch as AsyncWatch
    from bus.client import AsyncWorker as AsyncWorker
    from bus.client import Client as Client
    from bus.client import Consumers as Consumers
    from bus.client import Counts as Counts
    from bus.client import Delivery as Delivery
    from bus.client import Dropped as Dropped
    from bus.client import EventPage as EventPage
    from bus.client import Gap as Gap
    from bus.client import Namespaces as Namespaces
    from bus.client import Schedule as Schedule
    from bus.client import Schedules as Schedules
    from bus.client import StoredEvents as StoredEvents
    from bus.client import Stream as Stream
    from bus.client import UndecodableEventError as UndecodableEventError
    from bus.client import Watch as Watch
    from bus.client import Worker as Worker
    from bus.consumer import ConsumerConnection as ConsumerConnection
    from bus.consumer import ConsumerDescription as ConsumerDescription
    from bus.consumer import Move as Move
    from bus.consumer import PendingDeliveries as PendingDeliveries
    from bus.consumer import PendingDelivery as PendingDelivery
    from bus.errors import AmbiguousEventError as AmbiguousEventError
    from bus.errors import BusError as BusError
    from bus.errors import ConflictError as ConflictError
    from bus.errors import ConnectionFailedError as ConnectionFailedError
    from bus.errors import ConsumerMismatchError as ConsumerMismatchError
    from bus.errors import DuplicateKeyError as DuplicateKeyError
    from bus.errors import ForbiddenError as ForbiddenError
    from bus.errors import InvalidError as InvalidError
    from bus.errors import InvalidEventError as InvalidEventError
    from bus.errors import InvalidParameterError as InvalidParameterError
    from bus.errors import InvalidSubjectError as InvalidSubjectError
    from bus.errors import NotFoundError as NotFoundError
    from bus.errors import NotOwnerError as NotOwnerError
    from bus.errors import NotSupportedError as NotSupportedError
    from bus.errors import OverloadedError as OverloadedError
    from bus.errors import RejectError as RejectError
    from bus.errors import ServiceError as ServiceError
    from bus.errors import StoppingError as StoppingError
    from bus.errors import StorageError as StorageError
    from bus.errors import TimedOutError as TimedOutError
    from bus.errors import TooLargeError as TooLargeError
    from bus.errors import TooManyRequestsError as TooManyRequestsError
    from bus.errors import UnauthorizedError as UnauthorizedError
    from bus.errors import UnavailableError as UnavailableError
    from bus.errors import UnconfirmedError as UnconfirmedError
    from bus.errors import UnknownConsumerError as UnknownConsumerError
    from bus.errors import UnknownEventError as UnknownEventError
    from bus.errors import UnknownNamespaceError as UnknownNamespaceError
    from bus.errors import UnknownScheduleError as UnknownScheduleError
    from bus.errors import WrongIndexError as WrongIndexError
    from bus.event import Event as Event
    from bus.event import Receipt as Receipt
    from bus.namespace import NamespaceDescription as NamespaceDescription
    from bus.namespace import SubjectDescription as SubjectDescription
    from bus.overview import ClusterNode as ClusterNode
    from bus.overview import GrantedRights as GrantedRights
    from bus.overview import LogLine as LogLine
    from bus.overview import ServerCounts as ServerCounts
    from bus.overview import ServerDescription as ServerDescription

_CLIENT = (
    "AsyncClient", "AsyncConsumers", "AsyncDelivery", "AsyncNamespaces", "AsyncSchedules", "AsyncStoredEvents",
    "AsyncStream", "AsyncWatch", "AsyncWorker", "Client", "Consumers", "Counts", "Delivery", "Dropped", "EventPage",
    "Gap", "Namespaces", "Schedule", "Schedules", "StoredEvents", "Stream", "UndecodableEventError", "Watch", "Worker",
)  # fmt: skip
_CONSUMER = ("ConsumerConnection", "ConsumerDescription", "Move", "PendingDeliveries", "PendingDelivery")
_ERRORS = (
    "AmbiguousEventError", "BusError", "ConflictError", "ConnectionFailedError", "ConsumerMismatchError",
    "DuplicateKeyError", "ForbiddenError", "InvalidError", "InvalidEventError", "InvalidParameterError",
    "InvalidSubjectError",
    "NotFoundError", "NotOwnerError", "NotSupportedError", "OverloadedError",
    "RejectError", "ServiceError", "StoppingError", "StorageError",
    "TimedOutError", "TooLargeError", "TooManyRequestsError", "UnauthorizedError", "UnavailableError",
    "UnconfirmedError",
    "UnknownConsumerError", "UnknownEventError", "UnknownNamespaceError", "UnknownScheduleError", "WrongIndexError",
)  # fmt: skip
_HOMES = {
    **dict.fromkeys(_CLIENT, "bus.client"),
    **dict.fromkeys(_CONSUMER, "bus.consumer"),
    **dict.fromkeys(_ERRORS, "bus.errors"),
    **dict.fromkeys(("Event", "Receipt"), "bus.event"),
    **dict.fromkeys(("NamespaceDescription", "SubjectDescription"), "bus.namespace"),
    **dict.fromkeys(("ClusterNode", "GrantedRights", "LogLine", "ServerCounts", "ServerDescription"), "bus.overview"),
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *__all__]
