"""What a client asks of durable consumers, and how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from urllib.parse import quote

import msgspec
from msgspec import UNSET, UnsetType

from bus.client.core.get_options import Duration, Start, written_duration, written_durations, written_start
from bus.consumer import ConsumerConnection, ConsumerDescription

PATH = "v1/consumers"


class ConsumerList(msgspec.Struct):
    """All consumers."""

    consumers: list[ConsumerDescription]


class ConnectionList(msgspec.Struct):
    """All connections of one."""

    connections: list[ConsumerConnection]


class _Change(msgspec.Struct):
    """The body of a change."""

    patterns: tuple[str, ...] | UnsetType
    start: str | UnsetType
    redelivery: str | UnsetType
    redelivery_count: int | UnsetType
    order: str | UnsetType | None
    expires: str | UnsetType | None
    paused: bool | UnsetType


def path_of(name: str, what: str = "") -> str:
    """Where the server tells of the consumer *name*, or of *what* it has."""
    path = f"{PATH}/{quote(name, safe='')}"
    return f"{path}/{what}" if what else path


def encode_change(
    *,
    subjects: Sequence[str] = (),
    start: Start | None = None,
    redelivery: Duration | Sequence[Duration] | None = None,
    redelivery_count: int | None = None,
    order: Literal["key", "none"] | None = None,
    expires: Duration | None = None,
    paused: bool | None = None,
) -> bytes:
    """The body that says what is to be so of a consumer. Raises `InvalidParameterError`."""
    change = _Change(
        patterns=tuple(subjects) or UNSET,
        start=_given(written_start(start)),
        redelivery=_given(written_durations(redelivery)),
        redelivery_count=UNSET if redelivery_count is None else redelivery_count,
        order=None if order == "none" else _given(order),
        expires=None if expires == "default" else UNSET if expires is None else written_duration(expires),
        paused=UNSET if paused is None else paused,
    )
    return msgspec.json.encode(change)


def encode_destination(to: Start) -> bytes:
    """The body that says where a consumer is to be moved. Raises `InvalidParameterError`."""
    return msgspec.json.encode({"to": written_start(to)})


def _given(text: str | None) -> str | UnsetType:
    return UNSET if text is None else text
