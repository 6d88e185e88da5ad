"""What a client asks about events that are published later, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from bus.client.core.draft import encode_fields
from bus.client.core.get_options import Duration, in_seconds
from bus.client.core.request import Parameters
from bus.errors import InvalidParameterError
from bus.units import format_duration

PATH = "v1/schedules"

PAGE = 1000
"""Schedules that are asked for at a time."""

Late = Literal["once", "skip"]


class Schedule(msgspec.Struct, frozen=True):
    """An event that is published later.

    Attributes:
        id: names it: ``s_…``, or the name of one that recurs.
        subject: what the event is about.
        deliver_at: when it is published next, RFC 3339 in UTC.
        bytes: the size of its payload.
        key: its deduplication key, if it has one.
        cron: when it recurs, empty if it doesn't; so are the next two.
        time_zone: the time zone that *cron* is in.
        late: what becomes of one that was due while the server was down: ``"once"`` or ``"skip"``.
        payload: the decoded payload, where a single schedule was asked for.
    """

    id: str
    subject: str
    deliver_at: str
    bytes: int
    key: str = ""
    cron: str = ""
    time_zone: str = ""
    late: str = ""
    payload: Any = None


class SchedulePage(msgspec.Struct, frozen=True):
    """Some schedules, and where the next ones are."""

    schedules: list[Schedule]
    next: str = ""


def path_of(schedule_id: str) -> str:
    """The path of one schedule."""
    return f"{PATH}/{quote(schedule_id, safe='')}"


def page_query(subjects: Sequence[str], *, limit: int, after: str) -> Parameters:
    """What asks for the page behind *after*."""
    query = [("limit", str(min(limit, PAGE)))]
    if subjects:
        query.append(("subject", ",".join(subjects)))
    if after:
        query.append(("after", after))
    return query


def delay_query(delay: Duration | None, deliver_at: datetime | str | None, *, confirm: int) -> Parameters:
    """What goes with an event that is published later. Raises `InvalidParameterError` for what contradicts itself."""
    if confirm:
        raise InvalidParameterError("nobody confirms an event that is published later: give confirm or a time")
    if delay is None:
        return []
    if deliver_at is not None:
        raise InvalidParameterError("delay and deliver_at say the same: give one of them")
    return [("delay", format_duration(in_seconds(delay)))]


def encode_recurring(fields: dict[str, Any], *, cron: str, time_zone: str, late: Late) -> bytes:
    """The body that sets an event that recurs. Raises `InvalidEventError`."""
    when = msgspec.json.encode({"cron": cron, "time_zone": time_zone, "late": late})
    return encode_fields(fields)[:-1] + b"," + when[1:]
