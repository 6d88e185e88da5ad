"""Server-sent events (WHATWG HTML, section 9.2): writing the ones that aren't stored, and reading any.

What all clients agree on: ``\\n`` alone ends a line, an empty line ends an event, ``retry:`` rides in the first
event's block, and a heartbeat is that line again with a single line break. It is no comment, which one reader takes
for data and another for the end of an event's head; and it has no empty line, which some report as an empty event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from bus.errors import TooLargeError

LONGEST_BLOCK = 64 << 20
"""Bytes of one event; the largest a server takes is far below."""

RETRY_MS = 1000
"""What clients are told to wait before they reconnect."""

PING = b"retry: %d\n" % RETRY_MS
"""The heartbeat: a field that says nothing new, and becomes the first line of the next event."""

_END = b"\n\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_NUMBER = 9


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event as it came in: its kind (``msg``, ``open``, ``gap`` …), data and id."""

    kind: str
    data: bytes
    id: str = ""
    retry_ms: int | None = None
    code: str = ""


def encode_event(kind: str, data: dict[str, Any] | str, *, retry_ms: int | None = None, code: str = "") -> bytes:
    """An event that carries an object or a line of text; line breaks in text become blanks.

    The *code* of an error has a line of its own before the others, where ``retry`` has its: readers that don't know
    such a field pass over it.
    """
    body = " ".join(data.split()).encode() if isinstance(data, str) else msgspec.json.encode(data)
    retry = b"" if retry_ms is None else b"retry: %d\n" % retry_ms
    named = b"code: %b\n" % code.encode() if code else b""
    return retry + named + encode_json_event(kind, body)


def encode_json_event(kind: str, data: bytes) -> bytes:
    """An event that carries a line of JSON."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


class BlockReader:
    """Cuts the bytes of a stream, however they come, into blocks: what stands between empty lines, lines ending in LF.

    Nearly every stream has LF alone already, which one look at each piece shows.
    """

    __slots__ = ("_after_cr", "_begun", "_held")

    def __init__(self) -> None:
        self._held = bytearray()
        self._after_cr = False
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take in the next bytes and return the blocks they complete.

        Raises `TooLargeError` when one grows beyond `LONGEST_BLOCK`.
        """
        if self._after_cr or b"\r" in data:
            data = self._with_lf(data)
        if self._held:
            if _END not in data and not (data[:1] == b"\n" and self._held[-1:] == b"\n"):
                return self._hold(data)
            data = b"".join((self._held, data))
            self._held.clear()
        *blocks, rest = data.split(_END)
        if blocks and not self._begun:
            self._begun = True
            blocks[0] = blocks[0].removeprefix(_BYTE_ORDER_MARK)
        self._hold(rest)
        return blocks

    def _with_lf(self, data: bytes) -> bytes:
        """*data* with LF for CRLF and CR; the two halves of a CRLF may come apart."""
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _hold(self, data: bytes) -> list[bytes]:
        """Keep what is not over; it completes no block."""
        self._held += data
        if len(self._held) > LONGEST_BLOCK:
            raise TooLargeError(f"an event is longer than {LONGEST_BLOCK >> 20} MiB: is this a Bus server?")
        return []

    def __repr__(self) -> str:
        return f"<BlockReader holding {len(self._held)} bytes of an unfinished event>"


class EventReader:
    """Turns the bytes of a stream, cut anywhere, into events."""

    __slots__ = ("_blocks",)

    def __init__(self) -> None:
        self._blocks = BlockReader()

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take in the next bytes and return the events they complete. Raises `TooLargeError`."""
        return [event for block in self._blocks.feed(data) if (event := read_block(block)) is not None]

    def __repr__(self) -> str:
        return f"<EventReader with {self._blocks!r}>"


def read_block(block: bytes) -> ServerSentEvent | None:
    """The event that the lines of *block* make, None if they hold no data.

    Several ``data`` lines are one text with line breaks; other fields count as they are last given. Comments,
    which have no name, and unknown fields are passed over.
    """
    fields: dict[bytes, bytes] = {}
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        fields[name] = value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
    if not data:
        return None
    retry = fields.get(b"retry", b"")
    return ServerSentEvent(
        kind=fields.get(b"event", b"").decode("utf-8", "replace") or "message",
        data=b"\n".join(data),
        id=fields.get(b"id", b"").decode("utf-8", "replace"),
        retry_ms=int(retry) if retry.isdigit() and len(retry) <= _LONGEST_NUMBER else None,
        code=fields.get(b"code", b"").decode("utf-8", "replace"),
    )
