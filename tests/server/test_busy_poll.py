"""Busy polling: for a while after work the loop looks for more without sleeping, as long as that pays."""

from __future__ import annotations

import os
import time
from asyncio import Handle
from collections.abc import Callable, Iterator
from contextvars import Context
from pathlib import Path

import pytest

from bus.server.http.busy_poll import TRIED_AGAIN, WORTH, BusyPoll, PolledConnection
from tests.conftest import StartServer
from tests.engine.support import ManualLoop
from tests.server.in_process import Counting, Transport
from tests.server.support import stored
from tests.support import ServerProcess, subscribe

SECONDS = 0.0001


class Watched(ManualLoop):
    """Counts what it is asked to call in its next turn."""

    calls = 0

    def call_soon(self, callback: Callable[..., object], *args: object, context: Context | None = None) -> Handle:
        self.calls += 1
        return super().call_soon(callback, *args, context=context)


@pytest.fixture
def loop() -> Iterator[Watched]:
    loop = Watched()
    yield loop
    loop.close()


@pytest.fixture
def poll(loop: Watched) -> BusyPoll:
    return BusyPoll(SECONDS, loop, clock=loop.time)


def looks(loop: Watched) -> bool:
    """Whether a turn of the loop has it look again, beside the stop of the turn itself."""
    before = loop.calls
    loop.turn()
    return loop.calls - before == 2


def look_in_vain(loop: Watched, poll: BusyPoll) -> bool:
    """Have one thing come; whether it was looked for more."""
    poll.came()
    looked = looks(loop)
    loop.now += SECONDS
    loop.turn()
    assert not looks(loop)
    return looked


def test_nothing_keeps_the_loop_awake_before_something_came(loop: Watched, poll: BusyPoll) -> None:
    poll.worked()
    assert not looks(loop)


def test_the_loop_looks_until_the_time_is_up(loop: Watched, poll: BusyPoll) -> None:
    poll.came()
    assert looks(loop)
    loop.now += SECONDS / 2
    assert looks(loop)
    loop.now += SECONDS / 2
    assert not looks(loop)


@pytest.mark.parametrize("what", ["came", "worked"])
def test_the_time_begins_anew_with_what_comes_and_with_what_is_answered(
    loop: Watched, poll: BusyPoll, what: str
) -> None:
    poll.came()
    loop.now += SECONDS * 0.9
    getattr(poll, what)()
    loop.now += SECONDS * 0.9
    assert looks(loop)


def test_much_at_once_is_looked_for_once(loop: Watched, poll: BusyPoll) -> None:
    for _ in range(10):
        poll.came()
    assert looks(loop)


def test_what_doesnt_pay_is_done_once_in_a_while(loop: Watched, poll: BusyPoll) -> None:
    while look_in_vain(loop, poll):
        pass
    tried = [look_in_vain(loop, poll) for _ in range(10 * TRIED_AGAIN)]
    assert sum(tried) == 10


def test_what_pays_again_is_done_again(loop: Watched, poll: BusyPoll) -> None:
    while look_in_vain(loop, poll):
        pass
    for _ in range(16 * TRIED_AGAIN):
        poll.came()
        poll.came()
        loop.now += SECONDS
        loop.turn(2)
    assert all(look_in_vain(loop, poll) for _ in range(WORTH))


@pytest.fixture
def connection(loop: Watched, poll: BusyPoll) -> PolledConnection:
    made = PolledConnection(Counting(loop), loop, poll)
    made.connection_made(Transport())
    return made


def test_a_connection_tells_what_comes(loop: Watched, connection: PolledConnection) -> None:
    connection.data_received(b"POST / HTTP/1.1\r\n")
    assert looks(loop)


@pytest.mark.parametrize(
    "go_out", [PolledConnection.flush, lambda connection: connection.pipe()([b"event"])], ids=["answers", "deliveries"]
)
def test_a_connection_tells_what_goes_out(
    loop: Watched, poll: BusyPoll, connection: PolledConnection, go_out: Callable[[PolledConnection], None]
) -> None:
    poll.came()
    loop.now += SECONDS * 0.9
    go_out(connection)
    loop.now += SECONDS * 0.9
    assert looks(loop)


@pytest.mark.over_tls
def test_a_server_that_polls_stays_awake_and_serves_as_any_other(start_server: StartServer) -> None:
    server = start_server(env={"BUS_BUSY_POLL": "1m"})
    stored(server, "app.a")
    with subscribe(server, "app.>", start="oldest") as stream:
        stored(server, "app.b")
        assert len(stream.take(2)) == 2
        enough = processor_time(server) + 0.3
        while processor_time(server) < enough:
            time.sleep(0.01)
    assert server.stop() == 0


def processor_time(server: ServerProcess) -> float:
    """Seconds of a processor that *server* has used (proc(5), stat)."""
    fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
