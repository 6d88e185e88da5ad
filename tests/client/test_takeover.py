"""Both workers when the stream breaks while handlers run: nothing is begun twice, what is said is said in the end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from tests.client.streams import frame
from tests.client.stub import Stub
from tests.client.support import Wire, listening, streaming
from tests.client.test_network import QUICK_OPEN
from tests.client.workers import Handler, Running, StartWorker
from tests.support import PATIENCE


@pytest.fixture
def start_stub() -> Iterator[Callable[..., Stub]]:
    made: list[Stub] = []

    def start(*streams: Any) -> Stub:
        made.append(Stub(*streams))
        return made[-1]

    yield start
    for stub in made:
        stub.close()


StartStub = Callable[..., Stub]


def first(body: bytes, *, until: threading.Event) -> Callable[[Wire], None]:
    """A stream of consumer c_1 that breaks when *until* is set."""

    def play(wire: Wire) -> None:
        wire.send(streaming(QUICK_OPEN + body))
        assert until.wait(PATIENCE)

    return play


def later(body: bytes, *, consumer_id: bytes = b"c_2") -> Callable[[Wire], None]:
    def play(wire: Wire) -> None:
        wire.send(streaming(QUICK_OPEN + body, consumer_id=consumer_id))
        wire.until_closed()

    return play


class Work:
    """A handler that says what it begins, and goes on when it is let."""

    def __init__(self) -> None:
        self.begun: SimpleQueue[tuple[int, int]] = SimpleQueue()
        self.go_on: dict[int, threading.Event] = {}
        self.outcome: dict[int, BaseException] = {}

    def holding(self, *indexes: int) -> Handler:
        self.go_on = {index: threading.Event() for index in indexes}

        def handler(event: Any) -> None:
            self.begun.put((event.index, event.attempts))
            if event.index in self.go_on:
                assert self.go_on[event.index].wait(PATIENCE)
            if event.index in self.outcome:
                raise self.outcome[event.index]

        return handler

    def next_begun(self) -> tuple[int, int]:
        return self.begun.get(timeout=PATIENCE)


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    for event in made.go_on.values():
        event.set()


def start(start_worker: StartWorker, stub: Stub, handler: Handler, **options: Any) -> Running:
    served: Any = stub
    return start_worker(served, "app.a", handler, **{"redelivery": "30s", "concurrency": 2, **options})


def test_a_running_job_takes_its_new_delivery_over(
    start_stub: StartStub, start_worker: StartWorker, work: Work
) -> None:
    broken = threading.Event()
    stub = start_stub(
        first(frame(5, attempts=1), until=broken), later(frame(5, attempts=1) + frame(6, attempts=1))
    )  # fmt: skip
    start(start_worker, stub, work.holding(5))
    assert work.next_begun() == (5, 1)
    stub.gone.add("c_1")
    broken.set()
    assert work.next_begun() == (6, 1)
    assert stub.next_said() == ("c_2", "ack", "e_6")
    work.go_on[5].set()
    assert stub.next_said() == ("c_2", "ack", "e_5")
    assert work.begun.empty()


def test_each_connection_names_the_same_worker(start_stub: StartStub, start_worker: StartWorker, work: Work) -> None:
    broken = threading.Event()
    broken.set()
    streams = [first(b"", until=broken), first(b"", until=broken), later(frame(5, attempts=1))]
    stubs = [start_stub(*streams), start_stub(*streams)]
    names = []
    for stub in stubs:
        start(start_worker, stub, work.holding())
        assert work.next_begun() == (5, 1)
        names.append({stub.asked.get(timeout=PATIENCE)["worker"] for _ in range(3)})
    assert [len(found) for found in names] == [1, 1]
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(None, "ack"), (ValueError("no"), "nack"), (SystemExit(1), "nack")],
    ids=["ack", "nack", "exit"],
)
def test_what_ended_while_the_stream_was_down_is_said_when_it_is_back(
    start_stub: StartStub, start_worker: StartWorker, work: Work, outcome: BaseException | None, said: str
) -> None:
    broken, settled = threading.Event(), threading.Event()

    def back(wire: Wire) -> None:
        assert settled.wait(PATIENCE)
        later(frame(5, attempts=1) + frame(6, attempts=1))(wire)

    stub = start_stub(first(frame(5, attempts=1), until=broken), back)
    handler = work.holding(5)
    if outcome:
        work.outcome[5] = outcome
    start(start_worker, stub, handler)
    assert work.next_begun() == (5, 1)
    stub.gone.add("c_1")
    broken.set()
    stub.asked.get(timeout=PATIENCE)
    stub.asked.get(timeout=PATIENCE)  # the client knows that the stream has broken
    with listening("will be said when it comes again") as put_off:
        work.go_on[5].set()
        assert put_off.wait(PATIENCE)
    settled.set()
    assert {stub.next_said() for _ in range(2)} == {("c_2", said, "e_5"), ("c_2", "ack", "e_6")}
    assert work.next_begun() == (6, 1)
    assert work.begun.empty()


def test_a_failure_is_not_said_of_the_attempt_after_it(
    start_stub: StartStub, start_worker: StartWorker, work: Work
) -> None:
    broken, settled = threading.Event(), threading.Event()

    def back(wire: Wire) -> None:
        assert settled.wait(PATIENCE)
        later(frame(5, attempts=2))(wire)

    stub = start_stub(first(frame(5, attempts=1), until=broken), back)
    handler = work.holding(5)
    work.outcome[5] = ValueError("no")
    start(start_worker, stub, handler)
    assert work.next_begun() == (5, 1)
    stub.gone.add("c_1")
    broken.set()
    stub.asked.get(timeout=PATIENCE)
    stub.asked.get(timeout=PATIENCE)
    with listening("will be said when it comes again") as put_off:
        work.go_on[5].set()
        assert put_off.wait(PATIENCE)
    del work.outcome[5]
    settled.set()
    assert work.next_begun() == (5, 2)
    assert stub.next_said() == ("c_2", "ack", "e_5")


def test_what_was_not_begun_when_its_connection_broke_is_dropped(
    start_stub: StartStub, start_worker: StartWorker, work: Work
) -> None:
    broken = threading.Event()
    both = frame(5, attempts=1) + frame(6, attempts=1)
    stub = start_stub(first(both, until=broken), later(both))
    start(start_worker, stub, work.holding(5), concurrency=1)
    assert work.next_begun() == (5, 1)
    stub.gone.add("c_1")
    broken.set()
    for _ in range(2):
        stub.asked.get(timeout=PATIENCE)
    work.go_on[5].set()
    assert work.next_begun() == (6, 1)
    assert {stub.next_said() for _ in range(2)} == {("c_2", "ack", "e_5"), ("c_2", "ack", "e_6")}
    assert work.begun.empty()


def test_an_event_that_can_not_be_decoded_is_rejected_and_its_neighbours_are_handled(
    start_stub: StartStub, start_worker: StartWorker, work: Work
) -> None:
    odd = frame(6, b"1e999999999999999999999", attempts=1) + b'id: e_7\nevent: msg\ndata: {"id": 7}\n\n'
    stub = start_stub(later(frame(5, attempts=1) + odd + frame(8, attempts=1)))
    start(start_worker, stub, work.holding())
    assert {stub.next_said() for _ in range(4)} == {
        ("c_2", "ack", "e_5"), ("c_2", "reject", "e_6"), ("c_2", "reject", "e_7"), ("c_2", "ack", "e_8"),
    }  # fmt: skip
    assert {stub.reasons.get(timeout=PATIENCE) for _ in range(2)} == {
        "event e_6 at index 6 can't be decoded: Number out of range - at `$.payload`",
        "event e_7 can't be decoded: Expected `str`, got `int` - at `$.id`",
    }


def test_what_comes_again_before_its_nack_is_answered_is_begun_again(
    start_stub: StartStub, start_worker: StartWorker, work: Work
) -> None:
    """The event behind it shows that the worker has seen it by the time it hears that the nack was taken."""
    again = threading.Event()

    def play(wire: Wire) -> None:
        wire.send(streaming(QUICK_OPEN + frame(5, attempts=1)))
        assert again.wait(PATIENCE)
        wire.send(frame(5, attempts=2) + frame(6, attempts=1))
        wire.until_closed()

    stub = start_stub(play)
    stub.answers.clear()
    work.outcome[5] = ValueError("not now")
    start(start_worker, stub, work.holding())
    assert work.next_begun() == (5, 1)
    assert stub.next_said() == ("c_1", "nack", "e_5")
    again.set()
    assert work.next_begun() == (6, 1)
    stub.answers.set()
    assert work.next_begun() == (5, 2)
