"""Stored events in the form they are sent in: cut out of a stream, turned into lines, gathered into batches.

Copying handles millions of them, so everything here is done with as few steps for each event as possible.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import msgspec

from bus.errors import StorageError
from bus.event import index_in
from bus.sse import EventReader, ServerSentEvent
from bus.storage import Batch
from bus.storage.batch import narrow
from bus.units import parse_time

_ID = b"id: "
_DATA = b"\nevent: msg\ndata: "
_LINES = 4
_DATA_LINE = 2


def lines_of(frames: bytes) -> bytes:
    """The events in *frames* as NDJSON, exactly as they are in there.

    A frame is four lines (``bus.wire``), and its JSON holds no line break, so this takes no step per event.
    """
    data = b"\n".join(frames.split(b"\n")[_DATA_LINE::_LINES])
    return data.removeprefix(b"data: ").replace(b"\ndata: ", b"\n") + b"\n" if data else b""


class FrameReader:
    """Cuts the bytes of a stream, as they come, into frames; ``finished`` once the server says that was the last."""

    __slots__ = ("_rest", "finished")

    def __init__(self) -> None:
        self._rest = b""
        self.finished = False

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that *data* completes. Raises `StorageError` if the server tells of an error."""
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        return [frame for block in blocks if (frame := self._read(block))]

    def _read(self, block: bytes) -> bytes:
        if block[:4] == _ID and _DATA in block:
            return block + b"\n\n"
        return b"".join(map(self._hear, EventReader().feed(block + b"\n\n")))

    def _hear(self, event: ServerSentEvent) -> bytes:
        """The frame of an event that is written another way than ours; what else the server says is taken note of."""
        if event.kind == "error":
            raise StorageError(event.data.decode())
        if event.kind == "done":
            self.finished = b'"tail"' in event.data
        return b"%b%b%b%b\n\n" % (_ID, event.id.encode(), _DATA, event.data) if event.kind == "msg" else b""

    def __repr__(self) -> str:
        return f"<FrameReader holding {len(self._rest)} bytes of an unfinished event>"


class _Head(msgspec.Struct, gc=False):
    """What a batch needs to know of an event."""

    id: str
    subject: str
    created_at: str
    index: int
    key: str = ""


_heads = msgspec.json.Decoder(_Head)


def gather(frames: Sequence[bytes], *, now: int) -> Batch:
    """One batch of *frames*, which are of one of our logs and follow one another; *now* is in ns.

    The digests of ids that don't carry their index are left at 0: they depend on the log the batch goes into.
    """
    text = b"".join(frames)
    heads = _heads.decode_lines(lines_of(text))
    subjects: dict[str, int] = {}
    which = [subjects.setdefault(head.subject, len(subjects)) for head in heads]
    return Batch(
        first=heads[0].index,
        time=min(parse_time(max(head.created_at for head in heads)), now),
        frames=text,
        lengths=array("I", map(len, frames)),
        subjects=tuple(subject.encode() for subject in subjects),
        which=narrow(which, len(subjects)),
        keyed=any(head.key for head in heads),
        foreign=tuple((0, head.index) for head in heads if index_in(head.id) != head.index),
    )
