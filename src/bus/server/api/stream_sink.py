"""The sink: a subscriber's connection, as the engine sees it.

    open ─▶ write, tell, ping … ─▶ end: done, and the end of the body
                               └─▶ fail, break_off: the body stays without its end

A stream's body goes in chunks, because some clients hand on what has come only at the end of a chunk. One that
is complete has its last chunk; one that breaks off hasn't, so that it can't be taken for complete. A client that
says ``Connection: close``, or speaks HTTP/1.0, gets the bytes as they are, and the end of the connection is the end
of the body. There a reset takes the place of the missing chunk; it is what the connection ends with, however the
server ends, until the stream is complete.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from struct import pack
from typing import Any, Final, Protocol

import msgspec

from bus.engine.base import MUCH, Gap
from bus.errors import BusError
from bus.frame import Format
from bus.server.api.large_writes import KeptPieces, Pieces
from bus.server.http.limits import KEEPALIVE_SECONDS, UNTAKEN_SECONDS
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.sse import PING, RETRY_MS, encode_event
from bus.wire import CONSUMER_ID, NDJSON, SSE

log = logging.getLogger("bus.server")

FAREWELL_SECONDS = 0.2
"""Between the reason why a stream breaks off and its end: Chromium drops what comes together with that."""

_LAST_CHUNK: Final = b"0\r\n\r\n"
_RESET: Final = pack("ii", 1, 0)
_NO_RESET: Final = pack("ii", 0, 0)
_KEEPALIVE: Final = (
    (socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS),
    (socket.TCP_KEEPINTVL, 10),
    (socket.TCP_KEEPCNT, 3),
    (socket.TCP_USER_TIMEOUT, UNTAKEN_SECONDS * 1000),
)


class Source(Protocol):
    """What a stream is fed by."""

    def resume(self) -> None:
        """The connection takes more."""

    def close(self) -> None:
        """Nobody takes what comes of it any more."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that is opened: its id, what it is of, what ``open`` tells, and what it lacks at the beginning.

    It is *named* in a header of its own if something can be said of it by its id.
    """

    id: str
    of: str
    about: Mapping[str, Any]
    gap: Gap | None = None
    named: bool = False


class StreamSink:
    """Takes what one source has for its subscriber."""

    __slots__ = (
        "_chunked",
        "_form",
        "_kept",
        "_notices",
        "_pieces",
        "_pipe",
        "_source",
        "connection",
        "id",
        "responder"
    )  # fmt: skip

    def __init__(self, responder: Responder, form: Format, *, kept: KeptPieces) -> None:
        self.connection = responder.connection
        self.responder = responder
        self._chunked = responder.head is not None and responder.head.section.keep_alive
        self._form = form
        self._kept = kept
        self._pieces: Pieces | None = None
        self._pipe = responder.pipe()
        self._notices: list[bytes] = []
        self._source: Source | None = None
        self.id = ""

    # -- the beginning

    def open(self, source: Source, opened: Opened) -> None:
        """Send the head, and what goes before the first event of *source*."""
        self._source = source
        self.id = opened.id
        log.debug("stream %s: opened on %s", opened.id, opened.of)
        responder = self.responder
        responder.close = True
        responder.on_lost = self._lost
        responder.on_failure = self.break_off
        self.connection.stream = self.resume
        self._watch_peer()
        if not self._chunked:
            self._set_linger(_RESET)
        responder.begin(200, self._headers(opened))
        if opening := self._opening(opened):
            responder.write(b"".join(self._framed(opening)))

    def _headers(self, opened: Opened) -> str:
        coding = {"Transfer-Encoding": "chunked"} if self._chunked else {}
        name = {CONSUMER_ID: opened.id} if opened.named else {}
        return format_headers({
            "Content-Type": NDJSON if self._form is Format.NDJSON else SSE,
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
            **name,
            **coding,
        })  # fmt: skip

    def _opening(self, opened: Opened) -> bytes:
        """What the subscriber is told of its stream, and what it missed."""
        opening = b"" if self._form is Format.NDJSON else encode_event("open", dict(opened.about), retry_ms=RETRY_MS)
        return opening + (self._notice("gap", asdict(opened.gap)) if opened.gap else b"")

    # -- what the engine sends

    @property
    def writable(self) -> bool:
        return self.connection.writable and self._pieces is None

    def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
        if again is None or len(data) <= MUCH:
            self._pipe(self._framed(data))
        else:
            self._pieces = Pieces(data, again, self._kept)
            self._send_pieces()

    def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        notice = self._notice(kind, data)
        if self._pieces:
            self._notices.append(notice)
        else:
            self._send(notice)

    def resume(self) -> None:
        """The connection takes more."""
        self.responder.run(self._go_on)

    def _go_on(self) -> None:
        if self._pieces:
            self._send_pieces()
        if self._source and self.writable:
            self._source.resume()

    def _send_pieces(self) -> None:
        """Send pieces as far as the connection takes them; what was to be told meanwhile comes behind the last."""
        while self._pieces and self.connection.writable:
            self._send(self._pieces.next())
            if self._pieces.done:
                self._pieces = None
                notices, self._notices = self._notices, []
                self._send(b"".join(notices))

    def ping(self) -> None:
        """Show that the stream lives; NDJSON has no line for that."""
        if self.writable and self._form is not Format.NDJSON:
            self._send(PING)

    def _notice(self, kind: str, data: Mapping[str, Any]) -> bytes:
        """An event that isn't stored, as an event or as a line that begins with its kind."""
        if self._form is Format.NDJSON:
            return msgspec.json.encode({"event": kind, **data}) + b"\n"
        return encode_event(kind, dict(data))

    def _send(self, data: bytes) -> None:
        if data:
            self._pipe(self._framed(data))

    def _framed(self, data: bytes) -> tuple[bytes, ...]:
        """*data* as it goes out, without a copy: many streams share it."""
        return (b"%x\r\n" % len(data), data, b"\r\n") if self._chunked else (data,)

    # -- the end

    def end(self, reason: str) -> None:
        """Only what was sent whole is complete: a stream in the middle of something long breaks off."""
        if self._pieces:
            self.interrupt(reason)
            return
        self._log_end(f"complete, {reason}")
        if self._form is not Format.NDJSON:
            self._send(encode_event("done", {"reason": reason}))
        if self._chunked:
            self.responder.write(_LAST_CHUNK)
        else:
            self._set_linger(_NO_RESET)
        self._hang_up()

    def fail(self, error: BusError) -> None:
        self._log_end(error.message)
        if not self._pieces:
            self._send(self._farewell(error))
        self._source = None
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self._hang_up)

    def _farewell(self, error: BusError) -> bytes:
        self.connection.refusals[error.code] += 1
        line = " ".join(error.message.split())
        if self._form is Format.NDJSON:
            return self._notice("error", {"message": line, "code": error.code})
        return encode_event("error", line, code=error.code)

    def interrupt(self, why: str) -> None:
        self._log_end(why)
        self._hang_up()

    def shut_down(self) -> None:
        """The server stops: break off, so that the subscriber comes back."""
        self._close_source()
        self.interrupt("the server stops")

    def break_off(self, error: BusError) -> None:
        """The stream can't go on, for a reason the engine doesn't know."""
        try:
            self._close_source()
        finally:
            self.fail(error)

    def _lost(self) -> None:
        """The subscriber is gone."""
        self._log_end("its client is gone")
        self._forget_pieces()
        self._close_source()

    def _close_source(self) -> None:
        if self._source:
            self._source.close()

    def _log_end(self, why: str) -> None:
        if self._source:
            log.debug("stream %s: ended: %s", self.id, why)

    def _hang_up(self) -> None:
        self._forget_pieces()
        self.responder.finish()

    def _forget_pieces(self) -> None:
        if self._pieces:
            self._kept.forget(self._pieces)
            self._pieces = None

    def _watch_peer(self) -> None:
        """Let the kernel notice a client that is gone, also on a stream without heartbeats."""
        if peer := self.connection.transport.get_extra_info("socket"):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, seconds in _KEEPALIVE:
                peer.setsockopt(socket.IPPROTO_TCP, option, seconds)

    def _set_linger(self, how: bytes) -> None:
        """Say what closing the connection looks like to the client: a reset, or an end."""
        if peer := self.connection.transport.get_extra_info("socket"):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)

    def __repr__(self) -> str:
        return f"<StreamSink as {self._form} of {self._source!r}>"
