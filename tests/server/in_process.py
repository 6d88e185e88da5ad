"""What a connection stands between, without a socket and without a server."""

from __future__ import annotations

import asyncio
from collections import Counter

from bus.engine.reading.round_robin import RoundRobin
from bus.server.http.body import BodySink
from bus.server.http.connection import Connection
from bus.server.http.cors import Cors
from bus.server.http.memory_limits import Memory
from bus.server.http.request import Request
from bus.server.http.responder import MakeResponder, Responder


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self._reading = True
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Everything is written at once."""

    def is_closing(self) -> bool:
        return False

    def is_reading(self) -> bool:
        return self._reading

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True


class Counting:
    """Notes the size of each request it answers, by turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.cors = Cors(["*"])
        self.refusals: Counter[str] = Counter()
        self.max_body = 1 << 20
        self.incoming = Memory(1 << 24, "bodies")
        self.unread = Memory(1 << 24, "answers")
        self.turns = RoundRobin(loop)
        self.make_responder: MakeResponder = Responder
        self.handled: list[list[int]] = []

    def connected(self, connection: Connection) -> None:
        """All are welcome."""

    def disconnected(self, connection: Connection) -> None:
        """They may go."""

    def take_body(self, request: Request, responder: Responder) -> BodySink | None:
        return None

    def handle(self, request: Request, responder: Responder) -> None:
        self.handled[-1].append(len(request.body))
        responder.respond(202, body=b"%d" % len(request.body))
