"""What a worker may begin, by a clock of the test; and a worker that is really stopped for a while."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bus.client.core.delivery import Delivered
from bus.client.core.get_options import GetOptions
from bus.client.core.jobs import Jobs, StoodStillError
from bus.client.core.request import Acknowledgement
from bus.client.core.stream import StreamState
from bus.errors import ConnectionFailedError, UnknownConsumerError
from tests.client.streams import HEAD, frame
from tests.client.stub import Stub
from tests.client.support import Wire, streaming
from tests.client.test_network import QUICK_OPEN
from tests.support import PATIENCE, clean_environment, freeze

pytestmark = pytest.mark.every_engine


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def serving(clock: Clock, *, redelivery: float = 30.0) -> tuple[StreamState[Delivered], Jobs[Delivered]]:
    state = StreamState(GetOptions(subjects=("app.*",), ack="manual", consumer="w"), Delivered)
    jobs: Jobs[Delivered] = Jobs(redelivery=redelivery, clock=clock)
    state.serve(jobs)
    state.connected(HEAD)
    return state, jobs


def delivered(state: StreamState[Delivered], index: int, *, attempts: int = 1) -> Delivered | None:
    state.feed(frame(index, attempts=attempts))
    return state.pop()


def test_how_long_an_attempt_may_take_is_the_consumers_to_say() -> None:
    state, jobs = serving(Clock(), redelivery=30.0)
    assert (jobs.redelivery, jobs.extension) == (30.0, 10.0)
    state.feed(b'event: open\ndata: {"consumer_id":"c_1","next_index":1,"heartbeat":15,"redelivery":[60.0,6.0]}\n\n')
    assert (jobs.redelivery, jobs.extension) == (6.0, 2.0)


def test_what_came_a_redelivery_time_ago_is_not_begun() -> None:
    clock = Clock()
    state, jobs = serving(clock)
    event = delivered(state, 5)
    assert event is not None
    clock.now += 30
    assert not jobs.begin(event)
    jobs.rest()
    again = delivered(state, 5, attempts=2)
    assert again is not None
    assert jobs.begin(again)


def test_what_came_by_a_connection_that_is_gone_is_not_begun() -> None:
    state, jobs = serving(Clock())
    event = delivered(state, 5)
    assert event is not None
    state.disconnected()
    assert not jobs.begin(event)


def test_what_came_before_the_worker_served_is_known_to_it() -> None:
    state = StreamState(GetOptions(subjects=("app.*",), ack="manual", consumer="w"), Delivered)
    state.connected(HEAD)
    state.feed(frame(5, attempts=1))
    jobs: Jobs[Delivered] = Jobs(redelivery=30)
    state.serve(jobs)
    event = state.pop()
    assert event is not None
    assert jobs.begin(event)


def test_a_reader_that_stood_still_says_so_once() -> None:
    clock = Clock()
    _, jobs = serving(clock)
    for _ in range(5):
        clock.now += jobs.tick
        jobs.wake()
    clock.now += 30
    with pytest.raises(StoodStillError, match="stood still for 30s"):
        jobs.wake()
    jobs.wake()


def test_events_of_one_id_are_different_events() -> None:
    state, jobs = serving(Clock())
    state.feed(frame(5, attempts=1) + frame(6, attempts=1).replace(b"e_6", b"e_5"))
    first, second = state.pop(), state.pop()
    assert first is not None
    assert second is not None
    assert first.id == second.id
    assert jobs.begin(first)
    assert jobs.begin(second)
    state.disconnected()
    assert state.put_off(first, Acknowledgement("c_1", [first.id]), UnknownConsumerError("gone"))
    jobs.end(first)
    jobs.end(second)
    state.connected(HEAD)
    state.feed(frame(6, attempts=1).replace(b"e_6", b"e_5"))
    assert state.pop() is not None
    assert state.late.due() == []


@pytest.mark.parametrize("early", [True, False])
def test_what_is_given_back_and_delivered_again_at_once_is_begun_again(early: bool) -> None:
    """It may come before the answer to the nack, and between that and the end of the job."""
    state, jobs = serving(Clock())
    event = delivered(state, 5)
    assert event is not None and jobs.begin(event)
    nack = Acknowledgement(event.consumer_id, [event.id], action="nack", delay=0.001)
    if early:
        assert delivered(state, 5, attempts=2) is None
    state.settled(event, nack, attempts=1)
    if not early:
        assert delivered(state, 5, attempts=2) is None
    again = jobs.end(event)
    assert again is not None and again.attempts == 2
    assert jobs.begin(again)
    state.settled(again, Acknowledgement(again.consumer_id, [again.id]), attempts=2)
    assert jobs.end(again) is None


def test_what_is_given_back_as_the_attempt_that_was_taken_over_is_not_begun_again() -> None:
    """Its time was over while it ran: it is the second attempt that is given back, and there is no third as yet."""
    state, jobs = serving(Clock())
    event = delivered(state, 5)
    assert event is not None and jobs.begin(event)
    assert delivered(state, 5, attempts=2) is None
    state.settled(event, Acknowledgement(event.consumer_id, [event.id], action="nack"), attempts=event.attempts)
    assert jobs.end(event) is None


class Worker(RuleBasedStateMachine):
    """A server of one consumer, a connection that breaks, and jobs that end at any time: nothing runs twice at once,
    nothing that was done is done again, and in the end all of it is settled."""

    @initialize(count=st.integers(1, 5))
    def publish(self, count: int) -> None:
        self.clock = Clock()
        self.state, self.jobs = serving(self.clock)
        self.pending = dict.fromkeys(range(1, count + 1), 1)  # index → attempt
        self.flying: set[int] = set()
        self.queue: list[Delivered] = []
        self.running: dict[int, Delivered] = {}
        self.done: set[int] = set()

    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        if waiting := sorted(set(self.pending) - self.flying):
            self._deliver(data.draw(st.sampled_from(waiting)))

    def _deliver(self, index: int) -> None:
        self.flying.add(index)
        self.clock.now += 1
        self.jobs.wake()
        if event := delivered(self.state, index, attempts=self.pending[index]):
            self.queue.append(event)
        for said in self.state.late.due():
            self._take(said)
            self.state.late.done(said)

    @precondition(lambda self: self.queue)
    @rule()
    def begin(self) -> None:
        event = self.queue.pop(0)
        if self.jobs.begin(event):
            assert event.index not in self.running
            assert event.index not in self.done
            self.running[event.index] = event

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self._end(data.draw(st.sampled_from(sorted(self.running))))

    def _end(self, index: int) -> None:
        event = self.running.pop(index)
        said = Acknowledgement(event.consumer_id, [event.id])
        self.done.add(index)
        if event.connection.live:
            self._take(said)
            self.state.settled(event, said, attempts=event.attempts)
        else:
            assert self.state.put_off(event, said, UnknownConsumerError("gone"))
        self.jobs.end(event)

    @rule(counts=st.booleans())
    def break_and_reconnect(self, counts: bool) -> None:
        self.state.disconnected()
        for index in self.flying:
            self.pending[index] += counts
        self.flying.clear()
        self.clock.now += 1
        self.state.connected(HEAD)

    @rule()
    def time_out(self) -> None:
        for index in self.flying:
            self.pending[index] += 1
        self.flying.clear()

    def _take(self, said: Acknowledgement) -> None:
        for event_id in said.event_ids:
            self.pending.pop(int(event_id[2:]), None)
            self.flying.discard(int(event_id[2:]))

    def teardown(self) -> None:
        if not hasattr(self, "pending"):
            return
        self.break_and_reconnect(counts=False)
        for index in sorted(self.pending):
            self._deliver(index)
        while self.queue:
            self.begin()
        for index in sorted(self.running):
            self._end(index)
        assert not self.pending


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=60, stateful_step_count=30)


def test_a_job_that_is_done_is_put_off_even_while_the_stream_seems_to_stand() -> None:
    state, jobs = serving(Clock())
    event = delivered(state, 5)
    assert event is not None
    said = Acknowledgement(event.consumer_id, [event.id])
    assert not state.put_off(event, said, ConnectionFailedError("unreachable"))
    assert jobs.begin(event)
    assert state.put_off(event, said, ConnectionFailedError("unreachable"))
    jobs.end(event)
    assert delivered(state, 5, attempts=2) is None
    assert [said.event_ids for said in state.late.due()] == [["e_5"]]


BLOCKING = """
import sys
from bus import Client

Client(sys.argv[1]).work("app.a", lambda event: print(event.index, flush=True), consumer="w", redelivery="1s")
"""

AIO = """
import asyncio, sys
from bus import AsyncClient

async def handler(event):
    print(event.index, flush=True)

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        await client.work("app.a", handler, consumer="w", redelivery="1s")

asyncio.run(main())
"""


@pytest.mark.parametrize("script", [BLOCKING, AIO], ids=["blocking", "aio"])
def test_a_worker_that_was_stopped_begins_nothing_of_what_came_meanwhile(script: str) -> None:
    stopped = threading.Event()

    def stream(wire: Wire) -> None:
        wire.send(streaming(QUICK_OPEN + frame(5, attempts=1)))
        assert stopped.wait(PATIENCE)
        wire.send(frame(6, attempts=1))
        wire.until_closed()

    def again(wire: Wire) -> None:
        wire.send(streaming(QUICK_OPEN + frame(7, attempts=1)))
        wire.until_closed()

    stub = Stub(stream, again)
    command = [sys.executable, "-c", script, stub.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "5\n"
        freeze(process.pid)
        stopped.set()
        time.sleep(1.6)  # the redelivery time has to pass for a process that can't be told another one
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "7\n"
        process.kill()
    stub.close()
