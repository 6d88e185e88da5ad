"""The bytes of a stream, cut anywhere, as events and notices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic

from bus.client.core.decode import EventDecoder, UndecodableEventError
from bus.client.core.delivery import D
from bus.client.core.retry import NotBusError
from bus.client.core.stream_notices import Notice, StreamOpen, read_notice
from bus.sse import BlockReader, ServerSentEvent, read_block

Told = list[D] | UndecodableEventError | Notice
"""What a stream says: events, one that can't be read, or something else."""

_FRAME = b"id: "
_DATA = b"\nevent: msg\ndata: "
_SKIP = len(_DATA)


class StreamReader(Generic[D]):
    """Reads one connection after the other; *trusted* says that the head has named it a stream of Bus."""

    def __init__(self, kind: type[D], payload_type: Any) -> None:
        self._decoder = EventDecoder(kind, payload_type)
        self._blocks = BlockReader()
        self.trusted = False

    def expect(self, *, trusted: bool) -> None:
        """Begin with the bytes of a new connection. One that isn't trusted has to begin with ``open``."""
        self._blocks = BlockReader()
        self.trusted = trusted

    def feed(self, data: bytes) -> Iterator[Told[D]]:
        """Take in the next bytes; yields what they complete: events, many at once, and what is said between.

        Raises `NotBusError` when this is no stream of Bus, `TooLargeError` when an event never ends.
        """
        blocks = self._blocks.feed(data)
        frames: list[bytes] = []
        begin = 0
        for block in blocks:
            # An event as our servers write it needs no look at its lines, which are three. If there are more after
            # all, this is no JSON, and the decoder looks.
            at = block.find(_DATA) if block[:4] == _FRAME else -1
            if at > 0:
                frames.append(block[at + _SKIP :])
                continue
            end = begin + len(frames)
            yield from self._decode(frames, blocks[begin:end])
            frames, begin = [], end + 1
            yield from self._read(block)
        yield from self._decode(frames, blocks[begin : begin + len(frames)])

    def _decode(self, frames: list[bytes], blocks: list[bytes]) -> Iterator[list[D] | UndecodableEventError]:
        if frames and not self.trusted:
            raise _not_open("events")
        return self._decoder.decode(frames, blocks)

    def _read(self, block: bytes) -> Iterator[Told[D]]:
        event = read_block(block)
        if event is None:
            return
        if event.kind == "msg":
            yield from self._decode([event.data], [block])
        elif (notice := self._hear(event)) is not None:
            yield notice

    def _hear(self, event: ServerSentEvent) -> Notice | None:
        notice = read_notice(event)
        if not self.trusted and not isinstance(notice, StreamOpen):
            raise _not_open(repr(event.kind))
        self.trusted = True
        return notice

    def __repr__(self) -> str:
        return f"<StreamReader with {self._blocks!r}>"


def _not_open(what: str) -> NotBusError:
    return NotBusError(f"the stream begins with {what} and names no consumer: is this a Bus server?")
