"""Server-sent events (WHATWG HTML, section 9.2): writing the ones that aren't stored, and reading any.

What seven clients agree on: ``\\n`` alone ends a line, an empty line ends an event, a heartbeat is a
comment line with a single line break (with two, some clients report an empty event), and ``retry:``
rides in the first event's block.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

PING = b": ping\n"
"""The heartbeat."""


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event as it came in: its kind (``msg``, ``open``, ``gap`` …), data and id."""

    kind: str
    data: bytes
    id: str = ""
    retry_ms: int | None = None


def encode_event(kind: str, data: dict[str, Any] | str, *, retry_ms: int | None = None) -> bytes:
    """An event that carries an object or a line of text; line breaks in text become blanks."""
    body = " ".join(data.split()).encode() if isinstance(data, str) else msgspec.json.encode(data)
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    return b"%bevent: %b\ndata: %b\n\n" % (retry, kind.encode(), body)


class EventReader:
    """Turns the bytes of a stream, cut anywhere, into events."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take in the next bytes and return the events they complete."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        return [event for block in blocks if (event := _read_block(block)) is not None]

    def __repr__(self) -> str:
        return f"<EventReader holding {len(self._rest)} bytes of an unfinished event>"


def _read_block(block: bytes) -> ServerSentEvent | None:
    fields: dict[bytes, bytes] = {}
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        fields[name] = fields[name] + b"\n" + value if name == b"data" and name in fields else value
    if b"data" not in fields:
        return None
    retry = fields.get(b"retry", b"")
    return ServerSentEvent(
        kind=fields.get(b"event", b"message").decode(),
        data=fields[b"data"],
        id=fields.get(b"id", b"").decode(),
        retry_ms=int(retry) if retry.isdigit() else None,
    )
