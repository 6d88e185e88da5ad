"""What a client asks about stored events, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec

from bus.client.core.request import Parameters
from bus.errors import InvalidParameterError

PATH = "v1/events"


class Deleted(msgspec.Struct, frozen=True):
    """How many events were deleted."""

    deleted: int


def path_of(event_id: str) -> str:
    """The path of one event."""
    return f"{PATH}/{quote(event_id, safe='')}"


def deletion_query(subjects: Sequence[str], before: int | datetime | str | None) -> Parameters:
    """What says which events are to be deleted. Raises `InvalidParameterError`."""
    query = [("subject", ",".join(subjects))]
    if isinstance(before, datetime):
        if before.tzinfo is None:
            raise InvalidParameterError("before has no time zone: give it one, such as datetime.timezone.utc")
        before = before.isoformat()
    if before is not None:
        query.append(("before", str(before)))
    return query
