"""Events cut out of a stream of server-sent events, as NDJSON.

Copying handles millions of them, so everything here is done with as few steps for each event as possible. What a
server sends is cut here and no more: whether it is an event is for `admission` to say.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bus.errors import StorageError, error_class
from bus.payload import one_line
from bus.sse import BlockReader, ServerSentEvent, read_block

_MSG = b"event: msg"
_DATA = b"data: "


class StreamLineReader:
    """Cuts the bytes of a stream, as they come, into lines; ``finished`` once the server says that was the last.

    *on_gap* is told when the server says that events are missing.
    """

    __slots__ = ("_blocks", "_on_gap", "finished")

    def __init__(self, on_gap: Callable[[str], object]) -> None:
        self._blocks = BlockReader()
        self._on_gap = on_gap
        self.finished = False

    def feed(self, data: bytes) -> bytes:
        """The events that *data* completes, a line each.

        Raises the error that the server tells of, `TooLargeError` for an event beyond all bounds.
        """
        blocks = self._blocks.feed(data)
        if not blocks:
            return b""
        lines = _lines_of_our_frames(blocks)
        return b"".join(map(self._read, blocks)) if lines is None else lines

    def _read(self, block: bytes) -> bytes:
        event = read_block(block)
        return self._hear(event) if event and event.data else b""  # one without data is none, says the standard

    def _hear(self, event: ServerSentEvent) -> bytes:
        """The line of an event that is written another way than ours; what else the server says is taken note of."""
        match event.kind:
            case "msg":
                return _folded(event.data) + b"\n"
            case "error":
                kind = error_class(event.code) or StorageError
                raise kind(f"the server ended the stream: {event.data.decode('utf-8', 'replace')}")
            case "gap":
                self._on_gap(event.data.decode("utf-8", "replace"))
            case "done":
                self.finished = b'"tail"' in event.data
        return b""

    def __repr__(self) -> str:
        return f"<StreamLineReader with {self._blocks!r}>"


def _lines_of_our_frames(blocks: list[bytes]) -> bytes | None:
    """The lines of blocks that all are frames as we write them; None if one isn't.

    Each is an ``id``, an ``event`` and a ``data`` line then, which looking at all lines together shows.
    """
    fields = b"\n".join(blocks).split(b"\n")
    if len(fields) != 3 * len(blocks) or set(fields[1::3]) != {_MSG}:
        return None
    data = b"\n" + b"\n".join(fields[2::3])
    if data.count(b"\n" + _DATA) != len(blocks) or (b"\n" + b"\n".join(fields[0::3])).count(b"\nid: ") != len(blocks):
        return None
    lines = data.replace(b"\n" + _DATA, b"\n")[1:] + b"\n"
    return None if b"\n\n" in lines or lines[:1] == b"\n" else lines


def _folded(data: bytes) -> bytes:
    """JSON on one line. Line breaks between its tokens go; what has them elsewhere is no JSON and keeps them as blanks.

    A string can't hold one, so no string is changed.
    """
    if b"\n" not in data:
        return data
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return b"\x00" + data.replace(b"\n", b" ")
    return one_line(data)
