"""Large requests are much to do at once: each is handled in a turn of its own, in the order of its connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from bus.engine.reading.round_robin import RoundRobin
from bus.server.http import limits
from bus.server.http.body import BodySink
from bus.server.http.connection import Connection
from bus.server.http.cors import Cors
from bus.server.http.memory_limits import Memory
from bus.server.http.request import Request
from bus.server.http.responder import MakeResponder, Responder
from tests.engine.support import ManualLoop

LARGE = limits.SMALL_BODY + 1


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


@pytest.fixture
def loop() -> Iterator[ManualLoop]:
    with ManualLoop() as loop:
        yield loop


@pytest.fixture
def counting(loop: ManualLoop) -> Counting:
    return Counting(loop)


def connect(counting: Counting, loop: ManualLoop) -> tuple[Connection, Transport]:
    connection, transport = Connection(counting, loop), Transport()
    connection.connection_made(transport)
    return connection, transport


def run(counting: Counting, loop: ManualLoop, turns: int) -> None:
    for _ in range(turns):
        counting.handled.append([])
        loop.turn()


def post(size: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Length: %d\r\n\r\n%b" % (size, b"x" * size)


def test_one_large_request_is_handled_a_turn(loop: ManualLoop, counting: Counting) -> None:
    counting.handled.append([])
    for _ in range(3):
        connect(counting, loop)[0].data_received(post(LARGE))
    connect(counting, loop)[0].data_received(post(7))
    assert counting.handled == [[7]]
    run(counting, loop, 3)
    assert counting.handled[1:] == [[LARGE]] * 3


def test_what_follows_a_large_request_waits_for_it(loop: ManualLoop, counting: Counting) -> None:
    counting.handled.append([])
    connection, transport = connect(counting, loop)
    connection.data_received(post(LARGE) + post(7))
    assert counting.handled == [[]]
    assert not transport.is_reading()
    assert counting.incoming.used > LARGE
    run(counting, loop, 2)
    assert counting.handled[1:] == [[LARGE], [7]]
    assert transport.is_reading()
    assert counting.incoming.used == 0
    assert transport.written.index(b"%d" % LARGE) < transport.written.rindex(b"\r\n\r\n7")


def test_a_connection_that_is_lost_before_its_turn_is_forgotten(loop: ManualLoop, counting: Counting) -> None:
    counting.handled.append([])
    connection, _ = connect(counting, loop)
    connection.data_received(post(LARGE))
    connection.connection_lost(None)
    run(counting, loop, 2)
    assert counting.handled == [[], [], []]
    assert counting.incoming.used == 0
