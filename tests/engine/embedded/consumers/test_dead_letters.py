"""Dead letters: what is given up is pending until it is kept, and can be sent back and dropped."""

from __future__ import annotations

import msgspec
import pytest

from bus.engine.base import Subscribe
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.dead_event import DELETED
from bus.engine.consumer.delivery import GivenUp
from bus.engine.consumer.subscription import SharedConsumer
from bus.engine.consumer.terms import Terms
from bus.engine.embedded.consumers.dead_letters import DeadLetters
from bus.engine.embedded.consumers.durable_consumer import DurableConsumer
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.reading.start_position import StartPosition
from bus.errors import BusError
from bus.frame import json_of
from bus.subject import Filter
from bus.units import SECOND_NS
from tests.engine.support import ManualLoop, RecordingOwner, RecordingSink, event_id, fill, open_namespace

EVERYTHING = Filter.parse(["app.>"])
WALL = 1_700_000_000 * SECOND_NS


@pytest.fixture
def namespace(loop: ManualLoop) -> LogNamespace:
    """Events 1 to 40."""
    namespace = open_namespace(loop, segment_bytes=2048)
    fill(namespace, 40)
    return namespace


def make(loop: ManualLoop, namespace: LogNamespace, *, at: int = 1) -> DurableConsumer:
    terms = Terms(filter=EVERYTHING)
    consumer = Consumer(namespace, terms, StartPosition(at), name="billing", loop=loop, owner=RecordingOwner())
    return DurableConsumer(consumer, terms)


def begin(loop: ManualLoop, durable: DurableConsumer, prefetch: int) -> RecordingSink:
    """Have so many events in flight."""
    sink = RecordingSink()
    durable.consumer.join(Subscribe(filter=EVERYTHING, prefetch=prefetch), sink).start()
    loop.turn(3)
    return sink


def give_up(durable: DurableConsumer, index: int) -> GivenUp:
    (delivery,) = [found for found in durable.consumer.pending if found.index == index]
    return durable.consumer.pending.give_up(delivery, reason="rejected")


def test_an_event_is_pending_until_its_letter_is_stored(loop: ManualLoop, namespace: LogNamespace) -> None:
    changed: list[SharedConsumer] = []
    letters, durable = DeadLetters({"app": namespace}, changed.append), make(loop, namespace)
    begin(loop, durable, 2)
    answers: list[BusError | None] = []
    letters.bury(durable, give_up(durable, 1), answers.append)
    assert [found.index for found in durable.state(now=loop.now, wall=WALL).pending] == [1, 2]
    assert (durable.oldest_needed(), answers, changed) == (1, [], [])
    loop.turn(3)
    assert [found.index for found in durable.state(now=loop.now, wall=WALL).pending] == [2]
    assert (durable.oldest_needed(), answers, changed) == (2, [None], [durable.consumer])
    (dead,) = durable.dead.values()
    assert (dead.index, dead.event_id, dead.reason, dead.letter) == (1, event_id(1), "rejected", 41)
    letter = msgspec.json.decode(json_of(namespace.frame(41) or b""))
    assert (letter["subject"], letter["payload"]) == ("app._dead_.billing", 1)
    assert letter["dead"]["id"] == event_id(1)


def test_a_letter_that_cannot_be_stored_leaves_its_event_pending(loop: ManualLoop, namespace: LogNamespace) -> None:
    letters, durable = DeadLetters({"app": namespace}, lambda consumer: None), make(loop, namespace)
    begin(loop, durable, 1)
    namespace.stop(lambda: None)
    answers: list[BusError | None] = []
    letters.bury(durable, give_up(durable, 1), answers.append)
    assert answers[0] and "its dead letter can't be stored" in answers[0].message
    assert [(found.index, found.attempts) for found in durable.consumer.pending] == [(1, 0)]
    assert not durable.dead and not durable.burying


def test_what_is_sent_back_is_delivered_and_what_is_gone_is_named(loop: ManualLoop, namespace: LogNamespace) -> None:
    letters, durable = DeadLetters({"app": namespace}, lambda consumer: None), make(loop, namespace)
    sink = begin(loop, durable, 3)
    for index in (1, 2):
        letters.bury(durable, give_up(durable, index), lambda error: None)
    letters.lose(durable, [give_up(durable, 3).delivery], {3: "app.a"})
    loop.turn(5)
    assert (durable.dead[3].subject, durable.dead[3].reason, durable.dead[3].letter) == ("app.a", DELETED, 0)
    assert letters.drop(durable, [2, 99]) == 1
    assert letters.redrive(durable, [1, 1, 99]).redriven == 1
    loop.turn(3)
    assert list(durable.dead) == [3]
    assert sink.indexes == [1, 2, 3, 1, 4, 5]
    assert [found.attempts for found in durable.consumer.pending] == [1, 1, 1]
