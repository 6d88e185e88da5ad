"""Compressed bodies: a stage between the body as it comes in and whoever takes it.

    body ─▶ Inflater ─▶ NdjsonUpload             lines of NDJSON
                └─────▶ WholeBody ─▶ handler     one event, an array, a reply

          ┌───────── all is unpacked ──────────┐
          ▼                                    │
       WAITING ──bytes come──▶ a piece ──▶ SCHEDULED ──next turn of the loop──▶ a piece …
                                  └──▶ PAUSED ──the target takes more──▶ SCHEDULED

A few kilobytes may unpack to gigabytes, so

1. what is unpacked in one turn of the loop is bounded, and so is what is unpacked and not taken yet;
2. while anything is left to unpack, nothing more is read from the connection;
3. the limits of whoever takes the bytes count unpacked ones.

A body may be several gzip members one after the other (RFC 1952, section 2.2), as ``cat a.gz b.gz`` makes it.
"""

from __future__ import annotations

import zlib
from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from bus.engine.guard import as_bus_error
from bus.errors import BusError, InvalidEventError, UnsupportedEncodingError
from bus.server.http import limits
from bus.server.http.body import BodySink
from bus.server.http.memory_limits import Holding, Memory
from bus.server.http.request import GZIP, Head, Request, too_large
from bus.server.http.responder import Responder

_GZIP_ONLY = 16 + zlib.MAX_WBITS


def check_coding(head: Head) -> None:
    """Raise `UnsupportedEncodingError` if the body is compressed in a way that isn't known here."""
    if head.section.coding not in (b"", GZIP):
        coding = head.section.coding[:80].decode("latin-1")
        raise UnsupportedEncodingError(
            f"Content-Encoding {coding!a} is not known here: send gzip, or the body as it is"
        )


class BodySource(Protocol):
    """The connection a body comes from."""

    transport: Transport

    def read_on(self) -> None:
        """Take more of the body."""

    def give_way(self, error: BusError) -> None:
        """Refuse the rest of it."""


class _State(Enum):
    WAITING = auto()
    SCHEDULED = auto()
    PAUSED = auto()
    ENDED = auto()


class Inflater:
    """Unpacks a body as it comes in.

    *make_target* makes the one who takes what is unpacked, given what to call when it takes more after a pause.
    """

    def __init__(
        self, make_target: Callable[[Callable[[], None]], BodySink], source: BodySource, *, loop: AbstractEventLoop
    ) -> None:
        self._target = make_target(self._resume)
        self._source = source
        self._loop = loop
        self._unpacker = zlib.decompressobj(_GZIP_ONLY)
        self._packed = memoryview(b"")
        self._begun = False
        self._more = False
        self._complete = False
        self._state = _State.WAITING

    # -- what the connection says

    def feed(self, data: bytes) -> bool:
        """Take in the next bytes; False asks for a pause until `BodySource.read_on`. Raises what the target raises."""
        if self._state is _State.ENDED:
            return True
        self._begun = self._more = True
        self._packed = memoryview(bytes(self._packed) + data)
        if self._state is _State.WAITING:
            self._unpack()
        return self._state in (_State.WAITING, _State.ENDED)

    def finish(self) -> None:
        """The body is complete, what is unpacked of it perhaps not."""
        self._complete = True
        if self._state is _State.WAITING:
            self._finish()

    def fail(self, error: BusError) -> None:
        self._state = _State.ENDED
        self._target.fail(error)

    # -- unpacking

    def _unpack(self) -> None:
        """Unpack one piece, and see to it that the next one is. Raises what the target raises."""
        piece = self._next_piece()
        self._state = _State.PAUSED  # unless the target says otherwise, now or before it returns
        if (not piece or self._target.feed(piece)) and self._state is _State.PAUSED:
            self._state = _State.WAITING
        if self._more and self._state is _State.WAITING:
            self._unpack_soon()

    def _next_piece(self) -> bytes:
        if self._unpacker.eof:
            self._unpacker = zlib.decompressobj(_GZIP_ONLY)
        part = self._packed[: limits.UNPACKED_BYTES]
        try:
            piece = self._unpacker.decompress(part, limits.UNPACKED_BYTES)
        except zlib.error:
            raise UnsupportedEncodingError("the body is not gzip, as its Content-Encoding says") from None
        rest = self._unpacker.unused_data if self._unpacker.eof else self._unpacker.unconsumed_tail
        self._packed = self._packed[len(part) - len(rest) :]
        # A full piece may be cut short: zlib then holds back what doesn't need more input.
        self._more = bool(self._packed) or (len(piece) == limits.UNPACKED_BYTES and not self._unpacker.eof)
        return piece

    def _unpack_soon(self) -> None:
        self._state = _State.SCHEDULED
        self._loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        if self._state is _State.ENDED or self._source.transport.is_closing():
            return
        try:
            self._go_on()
        except Exception as error:
            self._refuse(as_bus_error(error, "unpacking a body"))
        if self._state in (_State.WAITING, _State.ENDED):
            self._source.read_on()

    def _go_on(self) -> None:
        self._state = _State.WAITING
        if self._more:
            self._unpack()
        if self._complete and self._state is _State.WAITING:
            self._finish()

    def _resume(self) -> None:
        """The target takes more."""
        if self._state is _State.PAUSED:
            self._unpack_soon()

    def _finish(self) -> None:
        """Everything is unpacked, and that should be the end of a member."""
        if self._begun and not self._unpacker.eof:
            self.fail(InvalidEventError("the compressed body is cut short"))
        else:
            self._state = _State.ENDED
            self._target.finish()

    def _refuse(self, error: BusError) -> None:
        """Give up the body; the connection goes on if all of it has been read."""
        if self._complete:
            self.fail(error)
        else:
            self._source.give_way(error)


class WholeBody:
    """Keeps an unpacked body of at most *most* bytes, which count in *memory*, then hands it on with its request."""

    def __init__(
        self,
        request: Request,
        responder: Responder,
        *,
        most: int,
        memory: Memory,
        handle: Callable[[Request, Responder], None],
    ) -> None:
        if request.head.section.length > most:
            raise too_large(most)
        self._request = request
        self._responder = responder
        self._most = most
        self._handle = handle
        self._holding = Holding(memory, responder.connection.give_way)
        self._pieces: list[bytes] = []
        self._size = 0
        responder.on_lost = self._holding.release

    def feed(self, data: bytes) -> bool:
        self._size += len(data)
        if self._size > self._most:
            raise too_large(self._most)
        self._holding.resize(self._size)
        self._pieces.append(data)
        return True

    def finish(self) -> None:
        self._request.body = b"".join(self._pieces)
        self._holding.release()
        self._responder.run(self._handle, self._request, self._responder)

    def fail(self, error: BusError) -> None:
        self._holding.release()
        self._responder.fail(error)
