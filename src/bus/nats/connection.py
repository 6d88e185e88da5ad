"""One connection to one server.

     INFO ──▶ [TLS] ──▶ CONNECT PING ──▶ PONG: open ──▶ closed, by either side or after two beats of silence

What is written in a turn of the loop goes out in one piece at its end. A server that is frozen keeps its connections,
so each is asked for a sign of life at every beat.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

import msgspec

from bus.nats.address import Address
from bus.nats.credentials import Credentials
from bus.nats.errors import (
    CannotConnectError,
    ConnectionLostError,
    ProtocolError,
    RefusedError,
    UnauthorizedError,
)
from bus.nats.message import Message
from bus.nats.parser import Parser

HIGH_WATER = 1 << 20
"""Bytes a server has yet to take from which on a connection is congested."""
MISSED_BEATS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to connect. *connect_seconds* is for each server, *beat* how often a silent one is asked for a sign."""

    name: str = ""
    credentials: Credentials = field(default_factory=Credentials)
    tls: ssl.SSLContext | None = None
    connect_seconds: float = 1.0
    beat: float = 1.0


class ServerInfo(msgspec.Struct, frozen=True):
    """What a server says of itself."""

    server_id: str = ""
    server_name: str = ""
    version: str = ""
    cluster: str = ""
    max_payload: int = 0
    jetstream: bool = False
    tls_required: bool = False
    tls_available: bool = False
    nonce: str = ""


class Owner(Protocol):
    """Who has a connection."""

    def delivered(self, sid: bytes, message: Message) -> None: ...
    def refused(self, error: RefusedError) -> None: ...
    def disconnected(self, connection: Connection, error: ConnectionLostError) -> None:
        """It was open, and isn't any more."""


class Connection(asyncio.Protocol):
    """One connection; `open_connection` makes one. What comes before it is open goes to nobody."""

    def __init__(self, address: Address, owner: Owner, *, beat: float) -> None:
        self.address = address
        self.info = ServerInfo()
        self.congested = False
        self._owner = owner
        self._beat_seconds = beat
        self._loop = asyncio.get_running_loop()
        self._parser = Parser(self)
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._pongs: deque[Callable[[], None] | None] = deque()
        self._greeted: asyncio.Future[None] = self._loop.create_future()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._drained: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._silent_beats = 0
        self._reason = "the server closed it"

    @property
    def open(self) -> bool:
        return self._ready.done() and self._transport is not None

    @property
    def unsent(self) -> int:
        """Bytes that the server has yet to take."""
        waiting = self._transport.get_write_buffer_size() if self._transport else 0
        return waiting + sum(map(len, self._outgoing))

    def write(self, data: bytes) -> None:
        """Send *data* at the end of this turn of the loop."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(data)

    def ping(self, answered: Callable[[], None] | None = None) -> None:
        """Ask for a sign of life: by then the server has read all that was written before."""
        self._pongs.append(answered)
        self.write(b"PING\r\n")

    async def drained(self) -> None:
        """Return when it isn't congested, or is closed."""
        if self.congested:
            self._drained = self._drained or self._loop.create_future()
            await asyncio.shield(self._drained)

    async def close(self) -> None:
        """Send what is written and end it, within a beat; `Owner.disconnected` is called if it was open."""
        self._reason = "it was closed here"
        if self._transport is None:
            return
        self._flush()
        self._transport.close()
        done, _ = await asyncio.wait([self._closed], timeout=self._beat_seconds)
        if not done:
            await self.abort()

    async def abort(self) -> None:
        """End it at once, and return when its socket is closed."""
        self._drop(self._reason)
        await asyncio.sleep(0)  # the loop closes it in its next turn

    def _drop(self, reason: str) -> None:
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()

    # Opening

    async def greeted(self) -> ServerInfo:
        await self._greeted
        return self.info

    async def encrypt(self, tls: ssl.SSLContext) -> None:
        """Go on over TLS."""
        assert self._transport is not None
        host = self.address.host
        transport = await self._loop.start_tls(self._transport, self, tls, server_hostname=host)
        self._transport = cast(asyncio.Transport, transport)

    async def log_in(self, connect: bytes) -> None:
        """Send CONNECT and return when the server has taken it. Raises `UnauthorizedError`."""
        self.write(b"CONNECT " + connect + b"\r\n")
        self.ping(self._logged_in)
        await self._ready

    def _logged_in(self) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
            self._beat()

    # What follows is called by the parser.

    def on_message(self, sid: bytes, message: Message) -> None:
        try:
            self._owner.delivered(sid, message)
        except Exception as error:  # of whoever handles it, and what follows isn't theirs alone
            context = {"message": f"handling a message of {message.subject} failed", "exception": error}
            self._loop.call_exception_handler(context)

    def on_info(self, info: bytes) -> None:
        try:
            self.info = msgspec.json.decode(info, type=ServerInfo)
        except msgspec.MsgspecError:
            raise ProtocolError("a server sent an INFO that can't be read") from None
        if not self._greeted.done():
            self._greeted.set_result(None)

    def on_ping(self) -> None:
        self.write(b"PONG\r\n")

    def on_pong(self) -> None:
        answered = self._pongs.popleft() if self._pongs else None
        if answered is not None:
            answered()

    def on_error(self, text: str) -> None:
        self._reason = text
        if self.open:
            self._owner.refused(RefusedError(f"{self.address} refused: {text}"))

    # What follows is called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        self._silent_beats = 0
        try:
            self._parser.feed(data)
        except ProtocolError as error:
            self._drop(str(error))

    def pause_writing(self) -> None:
        self.congested = True

    def resume_writing(self) -> None:
        self.congested = False
        if self._drained is not None:
            self._drained.set_result(None)
            self._drained = None

    def connection_lost(self, exc: Exception | None) -> None:
        was_open, self._transport = self.open, None
        self._closed.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        self.resume_writing()
        if was_open:
            lost = ConnectionLostError(f"lost the connection to {self.address}: {exc or self._reason}")
            self._owner.disconnected(self, lost)
        else:
            self._fail_opening(exc)

    def _fail_opening(self, exc: Exception | None) -> None:
        unauthorized = "authorization" in self._reason.lower() or "authentication" in self._reason.lower()
        error_type = UnauthorizedError if unauthorized else CannotConnectError
        for step in (self._greeted, self._ready):
            if not step.done():
                step.set_exception(error_type(f"can't connect to {self.address}: {exc or self._reason}"))
                step.exception()  # only one of them is awaited

    def _beat(self) -> None:
        if self._silent_beats >= MISSED_BEATS:
            self._drop(f"it was silent for {MISSED_BEATS} beats of {self._beat_seconds:g} s")
            return
        self._silent_beats += 1
        self.ping()
        self._timer = self._loop.call_later(self._beat_seconds, self._beat)

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()


async def open_connection(address: Address, owner: Owner, options: Options) -> Connection:
    """Connect and log in. Raises `CannotConnectError` or `UnauthorizedError`."""
    connection = Connection(address, owner, beat=options.beat)
    try:
        async with asyncio.timeout(options.connect_seconds):
            await _log_in(connection, options)
    except TimeoutError:
        await connection.abort()
        raise CannotConnectError(f"can't connect to {address}: no answer in {options.connect_seconds:g} s") from None
    except (OSError, UnicodeError) as error:
        await connection.abort()
        raise CannotConnectError(f"can't connect to {address}: {error}") from None
    except BaseException:
        await connection.abort()
        raise
    return connection


async def _log_in(connection: Connection, options: Options) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: connection, connection.address.host, connection.address.port)
    info = await connection.greeted()
    if options.tls is not None:
        await connection.encrypt(options.tls)
    elif info.tls_required:
        raise CannotConnectError(f"can't connect to {connection.address}: it wants TLS; use tls:// in its address")
    await connection.log_in(_connect_fields(info, options))


def _connect_fields(info: ServerInfo, options: Options) -> bytes:
    fields = {
        "verbose": False,
        "pedantic": False,
        "headers": True,
        "no_responders": True,
        "protocol": 1,
        "lang": "python",
        "version": "1",
        "name": options.name,
        "tls_required": options.tls is not None,
    }
    return msgspec.json.encode(fields | options.credentials.answer(info.nonce))
