"""Large requests are much to do at once: each is handled in a turn of its own, in the order of its connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bus.server.http import limits
from bus.server.http.connection import Connection
from tests.engine.support import ManualLoop
from tests.server.in_process import Counting, Transport

LARGE = limits.SMALL_BODY + 1


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


@pytest.mark.parametrize(
    ("path", "together"),
    [
        ("/?a=1", limits.ANSWERS_TOGETHER),
        (f"/?a={'x' * 3 * limits.LONG_QUERY}", limits.REQUESTS_A_TURN // 4),
        (f"/?a={'x' * limits.LONG_QUERY * 31}", 2),
        ("/v1/server", 1),
    ],
    ids=["short queries", "long ones", "the longest", "another path"],
)
def test_requests_that_ask_for_much_leave_room_for_others(
    loop: ManualLoop, counting: Counting, path: str, together: int
) -> None:
    """An acknowledgement names as many events as fit into its query, and each of them is looked for."""
    counting.handled.append([])
    connection, _ = connect(counting, loop)
    connection.data_received(b"GET %b HTTP/1.1\r\nHost: bus\r\n\r\n" % path.encode() * (limits.REQUESTS_A_TURN + 1))
    assert len(counting.handled[0]) == together
    run(counting, loop, 1)
    assert 0 < len(counting.handled[1]) <= together
