"""What goes wrong with JetStream, as errors of Bus: each says whether anything was stored."""

from __future__ import annotations

from typing import Final

from bus.errors import (
    BusError,
    DiskFullError,
    InvalidEventError,
    QuotaExceededError,
    TooLargeError,
    UnavailableError,
    UnconfirmedError,
)
from bus.nats import ApiError, NatsError, NotDeliveredError, UnknownOutcomeError

WRONG_SEQUENCE: Final = (10071, 10164)
ID_UNDER_WAY: Final = 10158
BATCH_USED_KEY: Final = 10201
NO_STREAM: Final = 10059
NO_CONSUMER: Final = 10014
NO_MESSAGE: Final = 10037
STREAM_EXISTS: Final = 10058
NOT_YET: Final = (10005, 10008, 10009)
"""Too few nodes for the replicas, or no leader of the cluster."""

_NO_RESOURCES: Final = (10023, 10047, 10028)
_STREAM_FULL: Final = (10077, 10076)
_TOO_LARGE: Final = 10054
_BATCH_TOO_LARGE: Final = 10199
_TOO_MANY_BATCHES: Final = 10210


def publish_error(error: NatsError, namespace: str) -> BusError:
    """Why what was published to *namespace* isn't stored, or isn't known to be."""
    if isinstance(error, NotDeliveredError):
        return UnavailableError(f"namespace {namespace} takes no events: JetStream has no leader for it; try again")
    if isinstance(error, UnknownOutcomeError):
        return UnconfirmedError(
            f"the event may be stored in {namespace}, or not: JetStream didn't answer; look, or publish it with a key"
        )
    if isinstance(error, ApiError):
        return _refusal(error, namespace)
    return UnavailableError(f"namespace {namespace}: {error}")


def _refusal(error: ApiError, namespace: str) -> BusError:
    if error.err_code in _STREAM_FULL:
        return QuotaExceededError(f"namespace {namespace} has as many bytes as it may: delete some, or raise --quota")
    if error.err_code in _NO_RESOURCES:
        return DiskFullError(f"JetStream has no room for namespace {namespace}: raise max_file_store, or delete events")
    if error.err_code == _TOO_LARGE:
        return TooLargeError("the event is larger than nats-server takes: raise max_payload on each of its nodes")
    if error.err_code == _BATCH_TOO_LARGE:
        return InvalidEventError(
            'the batch is more than JetStream takes at once: "limits { batch { max_msgs: 16384 } }" on each node'
        )
    if error.err_code == _TOO_MANY_BATCHES:
        return UnavailableError(f"too many batches are on their way to namespace {namespace}: try again")
    return UnavailableError(f"namespace {namespace}: JetStream refused: {error.description} ({error.err_code})")


def not_reached(error: NatsError, what: str) -> UnavailableError:
    """Why *what* can't be done now."""
    return UnavailableError(f"{what}: {error}")
