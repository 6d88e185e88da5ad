"""The chunked transfer coding (RFC 9112, section 7.1), decoded with bounds on what is thrown away.

    body      = *( size extensions CRLF  data CRLF )  "0" extensions CRLF  *( trailer CRLF )  CRLF
    extension = blanks ";" blanks token [ blanks "=" blanks ( token / quoted string ) ]
    trailer   = token ":" text

Extensions are ignored. Trailers are dropped: one that says ``Authorization`` is an attack. Both are checked all the
same, because where one program passes over what the next one takes for the end of a line, they disagree about where
the request ends, and the second reads another request in the rest.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from bus.errors import MalformedError
from bus.server.http.limits import CHUNK_LINE_BYTES, CHUNKS_A_TURN, TRAILER_BYTES
from bus.server.http.request_line import TOKEN

_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, _QUOTED)
_SIZE_LINE = re.compile(rb"0*([0-9A-Fa-f]{1,12})(?:%b)*" % _EXTENSION)
_TRAILER = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*" % TOKEN)
_LINE_BREAK = b"\r\n"


STEPS_A_TURN = 3 * CHUNKS_A_TURN
"""Each chunk takes three: its size line, its data, and the break after it."""


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    DONE = auto()


class ChunkReader:
    """Takes the bytes of a chunked body, cut anywhere, and gives its data.

    ``behind`` says that it stopped before the end of what it was given, for others to have their turn.
    """

    __slots__ = ("_left", "_part", "_trailers", "behind")

    def __init__(self) -> None:
        self.behind = False
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
        for _ in range(STEPS_A_TURN):
            end, piece = (at, b"") if self.done else self._step(buffer, at)
            self.behind = end != at
            if not self.behind:
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
        found = buffer[at : at + 2]
        if not _LINE_BREAK.startswith(found):
            raise MalformedError("a chunk is longer than its size says")
        if found != _LINE_BREAK:
            return at
        self._part = _Part.SIZE
        return at + 2

    def _take_line(self, buffer: bytes, at: int) -> int:
        end = buffer.find(_LINE_BREAK, at)
        longest = CHUNK_LINE_BYTES if self._part is _Part.SIZE else TRAILER_BYTES
        if (end if end >= 0 else len(buffer) - 1) - at > longest:
            raise MalformedError("a chunk's size line or a trailer is too long")
        if end < 0:
            _check_unfinished(buffer, at)
            return at
        if self._part is _Part.SIZE:
            self._read_size(buffer[at:end])
        else:
            self._read_trailer(buffer[at:end])
        return end + 2

    def _read_size(self, line: bytes) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if not found:
            raise MalformedError("a chunk's size line is not a size with extensions")
        self._left = int(found[1], 16)
        self._part = _Part.DATA if self._left else _Part.TRAILER

    def _read_trailer(self, line: bytes) -> None:
        self._trailers += len(line)
        if self._trailers > TRAILER_BYTES:
            raise MalformedError("the trailers are too long")
        if not line:
            self._part = _Part.DONE
        elif not _TRAILER.fullmatch(line):
            raise MalformedError("a trailer is not a name, a colon and a value")

    def __repr__(self) -> str:
        return f"<ChunkReader {self._part.name.lower()}, {self._left} bytes left>"


def _check_unfinished(buffer: bytes, at: int) -> None:
    """Refuse a line as soon as it can't become one: its sender may be waiting for an answer, not about to end it."""
    if buffer.find(b"\n", at) >= 0 or buffer.find(b"\r", at, len(buffer) - 1) >= 0:
        raise MalformedError("a chunk's size line or a trailer doesn't end in CR LF")
