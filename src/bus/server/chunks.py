"""The chunked transfer coding (RFC 9112, section 7.1), decoded with bounds on what is thrown away.

    chunk   = size [";" extension] CRLF  data CRLF
    body    = *chunk  "0" [";" extension] CRLF  *(trailer CRLF)  CRLF

Extensions are ignored. Trailers are dropped: one that says ``Authorization`` is an attack.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from bus.errors import MalformedError
from bus.server.limits import CHUNK_LINE_BYTES, TRAILER_BYTES

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkReader:
    """Takes the bytes of a chunked body, cut anywhere, and gives its data."""

    __slots__ = ("_left", "_part", "_trailers")

    def __init__(self) -> None:
        self._part = _Part.SIZE
        self._left = 0
        self._trailers = 0

    @property
    def done(self) -> bool:
        return self._part is _Part.DONE

    def read(self, buffer: bytes) -> tuple[bytes, bytes]:
        """Decode as much of *buffer* as can be; returns data and the bytes not used.

        Raises `MalformedError` when the framing is broken or a line is out of proportion.
        """
        data = []
        at = 0
        while self._part is not _Part.DONE:
            end, piece = self._step(buffer, at)
            if end == at and not piece:
                break
            data.append(piece)
            at = end
        return b"".join(data), buffer[at:]

    def _step(self, buffer: bytes, at: int) -> tuple[int, bytes]:
        """Take one part from *buffer* at *at*; returns where it ends and its data; nothing if it isn't whole."""
        match self._part:
            case _Part.DATA:
                return self._take_data(buffer, at)
            case _Part.DATA_END:
                return self._take_break(buffer, at), b""
            case _:
                return self._take_line(buffer, at), b""

    def _take_data(self, buffer: bytes, at: int) -> tuple[int, bytes]:
        piece = buffer[at : at + self._left]
        self._left -= len(piece)
        if not self._left:
            self._part = _Part.DATA_END
        return at + len(piece), piece

    def _take_break(self, buffer: bytes, at: int) -> int:
        if len(buffer) - at < 2:
            return at
        if buffer[at : at + 2] != b"\r\n":
            raise MalformedError("a chunk is longer than its size says")
        self._part = _Part.SIZE
        return at + 2

    def _take_line(self, buffer: bytes, at: int) -> int:
        end = buffer.find(b"\r\n", at)
        longest = CHUNK_LINE_BYTES if self._part is _Part.SIZE else TRAILER_BYTES
        if (end if end >= 0 else len(buffer)) - at > longest:
            raise MalformedError("a chunk's size line or a trailer is too long")
        if end < 0:
            return at
        if self._part is _Part.SIZE:
            self._read_size(buffer[at:end])
        else:
            self._read_trailer(end - at)
        return end + 2

    def _read_size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if not found:
            raise MalformedError("a chunk's size is not a number")
        self._left = int(found[1], 16)
        self._part = _Part.DATA if self._left else _Part.TRAILER

    def _read_trailer(self, length: int) -> None:
        self._trailers += length
        if self._trailers > TRAILER_BYTES:
            raise MalformedError("the trailers are too long")
        if not length:
            self._part = _Part.DONE

    def __repr__(self) -> str:
        return f"<ChunkReader {self._part.name.lower()}, {self._left} bytes left>"
