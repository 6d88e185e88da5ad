"""What one turn of the loop hands out: so many bytes, and no more than sockets take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest

from bus.config import Settings
from bus.engine.base import AckMode, Acknowledge, Action, Subscribe, Subscription
from bus.engine.consumer.hand_out import TURN_BYTES, TURN_EVENTS, TURN_READS
from bus.engine.embedded.engine import EmbeddedEngine
from bus.engine.start import StartKind, StartPoint
from bus.errors import BusError
from bus.event import Draft
from bus.subject import Filter
from tests.engine.support import Publishing, Subscribing

NOW = 1_700_000_000_000_000_000

Answer = TypeVar("Answer")


class Socket:
    """A sink that takes *room* bytes before it is full."""

    def __init__(self, room: float = float("inf")) -> None:
        self.room = room
        self.writes: list[bytes] = []
        self.told: list[str] = []

    @property
    def writable(self) -> bool:
        return self.room > 0

    def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
        self.room -= len(data)
        self.writes.append(data)

    def tell(self, kind: str, data: Mapping[str, Any]) -> None:
        self.told.append(kind)

    def interrupt(self, why: str) -> None: ...

    def fail(self, error: BusError) -> None:
        self.told.append("error")

    def end(self, reason: str) -> None:
        self.told.append(reason)

    @property
    def events(self) -> int:
        return sum(data.count(b"\nevent: msg\n") for data in self.writes)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def engine(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[EmbeddedEngine]:
    settings = Settings.read({}, {"BUS_PATH": str(tmp_path), "BUS_NAMESPACES": "app", "BUS_FSYNC": "never"})
    engine = EmbeddedEngine.open(settings.engine, loop)
    yield engine
    engine.close()


def at_once(answer: Coroutine[object, object, Answer]) -> Answer:
    """What *answer* comes to without waiting for anything."""
    try:
        answer.send(None)
    except StopIteration as done:
        return cast(Answer, done.value)
    raise AssertionError(f"{answer!r} waits")


def turn(loop: asyncio.AbstractEventLoop, turns: int = 1) -> None:
    """Let the loop go round."""
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()


def publish(engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop, count: int, size: int) -> None:
    payload = msgspec.Raw(b'"' + b"x" * size + b'"')
    for _ in range(count):
        engine.publish([Draft(subject="app.a", payload=payload)], Publishing(), now=NOW)
        turn(loop, 2)


def join(engine: EmbeddedEngine, sink: Socket, **wanted: Any) -> Subscription:
    plain = Subscribe(
        filter=Filter.parse(["app.a"]), start=StartPoint(StartKind.OLDEST), ack=AckMode.MANUAL,
        consumer="c", prefetch=10_000, redelivery=(600.0,),
    )  # fmt: skip
    subscribing = Subscribing()
    engine.subscribe(replace(plain, **wanted), sink, subscribing)
    return subscribing.start()


def test_what_a_member_leaves_behind_goes_to_the_next_as_its_socket_drains(
    engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop
) -> None:
    publish(engine, loop, 40, 100_000)
    first = Socket()
    leaving = join(engine, first, worker="w")
    turn(loop, 200)
    assert first.events == 40
    assert max(map(len, first.writes)) < TURN_BYTES + 101_000
    slow = Socket(room=150_000)
    staying = join(engine, slow, worker="w")
    leaving.close()
    turn(loop, 200)
    assert slow.events < 5, "what a socket doesn't take stays in the log"
    while slow.events < 40:
        before = slow.events
        slow.room = 150_000
        staying.resume()
        turn(loop, 10)
        assert before < slow.events < before + 5


def test_a_turn_ends_after_so_many_reads_for_events_that_came_back(
    engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop
) -> None:
    """One of each large batch came back, so that a turn's bytes and events would take all of the log."""
    large = Draft(subject="app.b", payload=msgspec.Raw(b'"' + b"x" * 300_000 + b'"'))
    for _ in range(30):
        engine.publish([Draft(subject="app.a"), large], Publishing(), now=NOW)
        turn(loop, 2)
    sink = Socket()
    leaving = join(engine, sink, worker="w")
    turn(loop, 200)
    assert sink.events == 30
    join(engine, sink, worker="w")
    leaving.close()
    engine.publish([Draft(subject="app.a", payload=msgspec.Raw(b'"new"'))], Publishing(), now=NOW)
    (namespace,) = engine._namespaces.values()
    before, turns = namespace.reads, 0
    while sink.events < 61:
        turn(loop)
        turns += 1
        assert namespace.reads <= before + TURN_READS
        before = namespace.reads
    assert turns > 5
    assert b'"new"' in sink.writes[-1].splitlines()[-2], "what came back comes first"


def test_a_turn_ends_after_so_many_events(engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop) -> None:
    drafts = [Draft(subject="app.a")] * 1000
    for _ in range(3):
        engine.publish(drafts, Publishing(), now=NOW)
    turn(loop, 3)
    sink = Socket()
    join(engine, sink, worker="w").close()
    leaving = join(engine, sink, worker="w")
    turn(loop, 30)
    assert sink.events == 3000
    leaving.close()
    again = Socket()
    join(engine, again, worker="w")
    turn(loop)
    assert 0 < again.events <= TURN_EVENTS
    turn(loop, 30)
    assert again.events == 3000


def test_a_rejection_is_answered_when_its_letter_is_listed(
    engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop
) -> None:
    publish(engine, loop, 1, 10)
    sink = Socket()
    subscription = join(engine, sink)
    turn(loop, 5)
    (event_id,) = [line[4:].decode() for line in sink.writes[0].split(b"\n") if line.startswith(b"id: ")]
    answers: list[tuple[BusError | None, int]] = []
    ack = Acknowledge(consumer_id=subscription.consumer_id, event_ids=(event_id,), action=Action.REJECT, reason="bad")
    engine.acknowledge(ack, lambda error: answers.append((error, len(at_once(engine.consumers.dead("c"))))))
    assert not answers, "the letter isn't stored yet"
    turn(loop, 5)
    assert answers == [(None, 1)]


def test_a_rejection_whose_letter_cannot_be_stored_is_refused_and_the_event_stays(
    engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop
) -> None:
    publish(engine, loop, 1, 10)
    sink = Socket()
    subscription = join(engine, sink)
    turn(loop, 5)
    (event_id,) = [line[4:].decode() for line in sink.writes[0].split(b"\n") if line.startswith(b"id: ")]
    engine.stop(lambda: None)
    answers: list[BusError | None] = []
    ack = Acknowledge(consumer_id=subscription.consumer_id, event_ids=(event_id,), action=Action.REJECT, reason="bad")
    engine.acknowledge(ack, answers.append)
    turn(loop, 5)
    assert answers[0] and "its dead letter can't be stored" in answers[0].message
    about = loop.run_until_complete(engine.consumers.describe_one("c"))
    assert (about.pending, about.dead) == (1, 0)


def test_a_consumer_that_fails_ends_its_streams_and_no_others(
    engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    publish(engine, loop, 1, 10)

    class Broken(Socket):
        def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
            raise RuntimeError("no such socket")

    broken, well = Broken(), Socket()
    join(engine, broken)
    join(engine, well, consumer="other")
    turn(loop, 5)
    assert "error" in broken.told
    assert len(caplog.records) == 1 and "no such socket" in caplog.text
    assert well.events == 1
