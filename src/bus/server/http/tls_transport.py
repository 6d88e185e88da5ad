"""TLS on one connection: what comes encrypted is handed on in the clear, and what is answered goes out encrypted.

    socket ─▶ transport ─▶ TlsTransport ─▶ Connection
                  ▲          ▲      │          │
                  └──────────┼──────┘          │
                             └─────────────────┘

To the transport of the socket it is a protocol, to the connection a transport that behaves as a plain one does. So the
connection is counted, and its deadlines run, before the handshake is done; what it writes until then is dropped.

    HANDSHAKE ─▶ OPEN ─▶ DEAF ─▶ CLOSED      DEAF: the client has sent all it will, and may wait for answers

Closing says so to the client (``close_notify``), because a connection that ends without it may have been cut by
somebody else (RFC 8446, section 6.1). One that is to end by a reset is one that breaks off, and doesn't say so.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import Enum, auto
from ssl import MemoryBIO, SSLContext, SSLError, SSLWantReadError
from struct import Struct
from typing import Any, cast

from bus.errors import MalformedError
from bus.server.http.client_certificate import certificate_name
from bus.server.http.response import encode_error, encode_head

log = logging.getLogger("bus.server.tls")

RECORD_BYTES = 16 * 1024
"""The most that one record carries (RFC 8446, section 5.1)."""

_LINGER = Struct("ii")


class _State(Enum):
    HANDSHAKE = auto()
    OPEN = auto()
    DEAF = auto()
    CLOSED = auto()


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """Stands between the transport of a socket and *carried*, whose handshake is done by *context*.

    *certify* is told the name in the client's certificate, if it shows one.
    """

    __slots__ = ("_carried", "_certify", "_incoming", "_outgoing", "_state", "_tls", "_transport")

    def __init__(self, context: SSLContext, carried: asyncio.Protocol, *, certify: Callable[[str], object]) -> None:
        super().__init__()
        self._carried = carried
        self._certify = certify
        self._incoming = MemoryBIO()
        self._outgoing = MemoryBIO()
        self._state = _State.HANDSHAKE
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._transport: asyncio.Transport

    # -- what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._carried.connection_made(self)

    def data_received(self, data: bytes) -> None:
        if self._state in _HEARS:
            self._incoming.write(data)
            try:
                if self._state is _State.OPEN or self._shake_hands():
                    self._hand_on()
            except SSLError as error:
                self._break_off(error)

    def eof_received(self) -> bool | None:
        return self._state is not _State.HANDSHAKE and self._carried.eof_received()

    def pause_writing(self) -> None:
        self._carried.pause_writing()

    def resume_writing(self) -> None:
        self._carried.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._state = _State.CLOSED
        self._carried.connection_lost(exc)

    # -- what comes in

    def _shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done."""
        try:
            self._tls.do_handshake()
        except SSLWantReadError:
            return False
        else:
            self._state = _State.OPEN
            if name := certificate_name(self):
                self._certify(name)
            return True
        finally:
            self._flush()

    def _hand_on(self) -> None:
        """Hand on what came, as one piece as it would be without TLS."""
        plain = self._decrypt()
        if self._outgoing.pending:  # such as new keys
            self._flush()
        if plain:
            self._carried.data_received(plain)
        if self._state is _State.DEAF and not self._carried.eof_received():
            self.close()

    def _decrypt(self) -> bytes:
        """What is there by now, and whether it is all that will come."""
        pieces = []
        try:
            while self._incoming.pending or self._tls.pending():
                piece = self._tls.read(RECORD_BYTES)
                if not piece:
                    self._state = _State.DEAF
                    break
                pieces.append(piece)
        except SSLWantReadError:
            pass
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _break_off(self, error: SSLError) -> None:
        """What came isn't TLS, or not of a client that is welcome; it is told why, as far as TLS has words for it."""
        log.debug("TLS with %s failed: %s", self._transport.get_extra_info("peername"), error.reason or error)
        self._flush()
        if error.reason == "HTTP_REQUEST":
            self._transport.write(_answer_in_the_clear())
        # Closing at once may reset the connection, and the reset would overtake the reason; the deadline is running.
        ended = self._transport.write_eof if self._state is _State.HANDSHAKE else self._transport.close
        self._state = _State.CLOSED
        ended()

    # -- what goes out

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if data and self._state in _SPEAKS:
            sent = self._tls.write(data)
            while sent < len(data):
                sent += self._tls.write(memoryview(data)[sent:])
            self._transport.write(self._outgoing.read())

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._transport.write(data)

    # -- the end

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        """Say that nothing more will be sent; what still comes is dropped."""
        if self._state is _State.HANDSHAKE:
            self._transport.abort()
        else:
            self._say_goodbye()
            self._transport.write_eof()

    def close(self) -> None:
        if not self._breaks_off:
            self._say_goodbye()
        self._state = _State.CLOSED
        self._transport.close()

    def abort(self) -> None:
        self._state = _State.CLOSED
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def _say_goodbye(self) -> None:
        if self._state in _SPEAKS:
            with suppress(SSLError):  # the client's goodbye, which isn't waited for
                self._tls.unwrap()
            self._flush()
        self._state = _State.CLOSED

    @property
    def _breaks_off(self) -> bool:
        """Whether the socket is to end by a reset."""
        peer = self._transport.get_extra_info("socket")
        try:
            return _LINGER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.size)) == (1, 0)
        except OSError:
            return True

    # -- what is the transport's

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        match name:
            case "peercert":
                return self._tls.getpeercert() or default
            case "ssl_object":
                return self._tls
            case _:
                return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def __repr__(self) -> str:
        return f"<TlsTransport {self._state.name.lower()}, {self._tls.version() or 'no TLS yet'}>"


_HEARS = (_State.HANDSHAKE, _State.OPEN)
_SPEAKS = (_State.OPEN, _State.DEAF)


def _answer_in_the_clear() -> bytes:
    """What a client is told that speaks plain HTTP."""
    headers, body = encode_error(MalformedError("this port takes HTTPS: ask for https:// instead"), as_problem=False)
    return encode_head(400, headers, length=len(body), close=True) + body
