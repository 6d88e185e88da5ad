"""What somebody wants of a durable consumer, as the JSON of a body says it."""

from __future__ import annotations

import re

import msgspec
from msgspec import UNSET, UnsetType

from bus.engine.administration import ConsumerChange, Destination, Step
from bus.engine.start import NEWEST
from bus.errors import InvalidParameterError
from bus.server.api.json_body import decode_body
from bus.server.api.subscribe import MOST_COUNT, read_order, read_redelivery, read_start
from bus.subject import Filter
from bus.units import LARGEST_NUMBER, parse_duration, parse_whole

_STEP = re.compile(r"([+-])(\d+)", re.ASCII)


class _Consumer(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``PUT /v1/consumers/NAME``."""

    patterns: list[str] | str | UnsetType = UNSET
    start: str | int = ""
    redelivery: list[str] | str | UnsetType = UNSET
    redelivery_count: int | UnsetType = UNSET
    order: str | UnsetType | None = UNSET
    expires: str | UnsetType | None = UNSET
    paused: bool | UnsetType = UNSET


class _Position(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /v1/consumers/NAME/position``."""

    to: str | int


def read_change(body: bytes, *, now: int) -> ConsumerChange:
    """What is to be so of a consumer; *now* is in ns. Raises `InvalidParameterError` or `InvalidSubjectError`."""
    said = decode_body(body, _Consumer)
    return ConsumerChange(
        filter=None if said.patterns is UNSET else Filter.parse(_listed(said.patterns)),
        start=read_start(str(said.start), now=now) if said.start != "" else NEWEST,
        redelivery=None if said.redelivery is UNSET else _read_redelivery(said.redelivery),
        redelivery_count=None if said.redelivery_count is UNSET else _read_count(said.redelivery_count),
        by_key=None if said.order is UNSET else read_order(said.order or ""),
        expires=parse_duration(said.expires) if isinstance(said.expires, str) else said.expires,
        paused=None if said.paused is UNSET else said.paused,
    )


def read_destination(body: bytes, *, now: int) -> Destination:
    """Where a consumer is to be moved; *now* is in ns. Raises `InvalidParameterError`."""
    text = str(decode_body(body, _Position).to)
    if not text:
        raise InvalidParameterError('"to" is empty: oldest, newest, an index, an event id, a time, +10 or -10')
    if step := _STEP.fullmatch(text):
        events = parse_whole(step[2], what="to", most=LARGEST_NUMBER)
        return Step(-events if step[1] == "-" else events)
    return read_start(text, now=now, what="to")


def _listed(given: list[str] | str) -> list[str]:
    return [given] if isinstance(given, str) else given


def _read_redelivery(given: list[str] | str) -> tuple[float, ...]:
    times = read_redelivery(",".join(_listed(given)))
    if times is None:
        raise InvalidParameterError("redelivery is no time: write it like 5s, or 1s,5s,30s")
    return times


def _read_count(given: int) -> int:
    return max(parse_whole(str(given), what="redelivery_count", least=-MOST_COUNT, most=MOST_COUNT), 0)
