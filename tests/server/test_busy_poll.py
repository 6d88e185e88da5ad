"""Busy polling: for a while after work the loop looks for more without sleeping, as long as that pays."""

from __future__ import annotations

from asyncio import Handle
from collections.abc import Callable, Iterator
from contextvars import Context

import pytest

from bus.server.http.busy_poll import TRIED_AGAIN, WORTH, BusyPoll
from tests.conftest import StartServer
from tests.engine.support import ManualLoop
from tests.server.support import stored
from tests.support import subscribe

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


@pytest.mark.over_tls
def test_a_server_that_polls_serves_as_any_other(start_server: StartServer) -> None:
    server = start_server(env={"BUS_BUSY_POLL": "1ms"})
    stored(server, "app.a")
    with subscribe(server, "app.>", start="oldest") as stream:
        stored(server, "app.b")
        assert len(stream.take(2)) == 2
    assert server.stop() == 0
