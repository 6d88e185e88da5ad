"""Bodies as they come in: of a known length or in chunks, kept whole or handed on piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bus.errors import BusError
from bus.server.http.chunked import ChunkReader
from bus.server.http.request import Head, too_large


class BodySink(Protocol):
    """Takes a body piece by piece."""

    def feed(self, data: bytes) -> bool:
        """Take in the next bytes; False asks for a pause until `Connection.read_on`."""

    def finish(self) -> None:
        """The body is complete."""

    def fail(self, error: BusError) -> None:
        """The rest of the body can't be read."""


MakeSink = Callable[[Callable[[], None]], BodySink]
"""Makes who takes a body, given what to call when it takes more."""


class Body:
    """The body of one request. It is handed to *sink* if there is one, else kept if it is within *most* bytes."""

    __slots__ = ("_chunks", "_kept", "_left", "_most", "paused", "sink")

    def __init__(self, head: Head, *, sink: BodySink | None, most: int) -> None:
        if sink is None and head.section.length > most:
            raise too_large(most)
        self.sink = sink
        self.paused = False
        self._left = head.section.length
        self._chunks = ChunkReader() if head.section.chunked else None
        self._most = most
        self._kept = bytearray()

    def take(self, buffer: bytes) -> bytes:
        """Take what belongs to the body from *buffer*; returns what doesn't, or can't be used yet.

        Raises `MalformedError` for broken chunks, `TooLargeError`, and what the sink raises.
        """
        self.paused = False
        if self._chunks:
            data, rest = self._chunks.read(buffer)
        else:
            data, rest = buffer[: self._left], buffer[self._left :]
            self._left -= len(data)
        if data:
            self._keep(data)
        return rest

    def _keep(self, data: bytes) -> None:
        if self.sink:
            self.paused = not self.sink.feed(data)
            return
        if len(self._kept) + len(data) > self._most:
            raise too_large(self._most)
        self._kept += data

    @property
    def done(self) -> bool:
        """Whether the body is complete."""
        return self._chunks.done if self._chunks else not self._left

    @property
    def behind(self) -> bool:
        """Whether there is more to take of the bytes that were offered, once others have had their turn."""
        return self._chunks is not None and self._chunks.behind

    @property
    def size(self) -> int:
        """Bytes kept."""
        return len(self._kept)

    @property
    def whole(self) -> bytes:
        """All of a body that was kept."""
        return bytes(self._kept)

    def __repr__(self) -> str:
        return f"<Body {'complete' if self.done else 'coming in'}, {self.size} bytes kept>"
