"""A consumer in process: what its connections get, and what its owner is told."""

from __future__ import annotations

from typing import Any

import pytest

from bus.engine.base import Acknowledge, Action, Subscribe
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.subscription import ConsumerSubscription
from bus.engine.consumer.terms import Terms
from bus.engine.consumer.why import ANSWERS, CAUGHT_UP, DELIVERING, NO_CONNECTION, SLOW, why
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.reading.start_position import StartPosition
from bus.errors import BusError, NotOwnerError, UnknownEventError
from bus.subject import Filter
from bus.units import NEVER
from tests.engine.support import ManualLoop, RecordingOwner, RecordingSink, batch, event_id, fill, open_namespace, store

EVERYTHING = Filter.parse(["app.>"])


@pytest.fixture
def namespace(loop: ManualLoop) -> LogNamespace:
    return open_namespace(loop, segment_bytes=2048)


@pytest.fixture
def owner() -> RecordingOwner:
    return RecordingOwner()


@pytest.fixture
def consumer(loop: ManualLoop, namespace: LogNamespace, owner: RecordingOwner) -> Consumer:
    """One from the oldest event on, with two attempts of five seconds."""
    terms = Terms(filter=EVERYTHING, redelivery_count=2)
    return Consumer(namespace, terms, StartPosition(1), name="billing", loop=loop, owner=owner)


def join(consumer: Consumer, sink: RecordingSink, **options: Any) -> ConsumerSubscription:
    subscription = consumer.join(Subscribe(filter=EVERYTHING, consumer="billing", **options), sink)
    subscription.start()
    return subscription


def say(subscription: ConsumerSubscription, action: Action, *indexes: int, **about: Any) -> list[BusError]:
    ids = tuple(map(event_id, indexes))
    ack = Acknowledge(consumer_id=subscription.consumer_id, event_ids=ids, action=action, **about)
    done = subscription.consumer.settle(subscription, ack)
    subscription.consumer.give_up(done.given_up, lambda error: None)
    return done.refused


def test_a_window_is_filled_and_each_ack_makes_room(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer, owner: RecordingOwner
) -> None:
    fill(namespace, 5)
    sink = RecordingSink()
    subscription = join(consumer, sink, prefetch=2)
    loop.turn(3)
    assert (sink.indexes, subscription.in_flight, subscription.room) == ([1, 2], 2, 0)
    before = owner.changes
    assert not say(subscription, Action.ACK, 1, 2)
    loop.turn(3)
    assert sink.indexes == [1, 2, 3, 4]
    assert owner.changes > before, "the owner is told, or nothing would be written down"


@pytest.mark.parametrize("last", [False, True], ids=["in time", "on its last attempt"])
def test_an_event_that_expires_is_settled_and_no_dead_letter(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer, owner: RecordingOwner, last: bool
) -> None:
    store(namespace, batch(1, ["app.a", "app.a"], expires=[10, NEVER]))
    namespace.clock = lambda: 9
    sink = RecordingSink()
    subscription = join(consumer, sink)
    loop.turn(3)
    if last:
        say(subscription, Action.NACK, 1)
        loop.turn(3)
    namespace.clock = lambda: 10
    changes = owner.changes
    say(subscription, Action.NACK, 1)
    loop.turn(3)
    assert sink.indexes == [1, 1, 2][1 - last :]
    assert [index for index, _ in owner.buried] == [1] * last, "what was attempted often enough is given up for that"
    assert {delivery.index for delivery in consumer.pending} == {2} and owner.changes > changes + 1
    assert not consumer.readmit(1), "nor is it sent back"
    assert consumer.lag.events == 0


def test_nothing_is_delivered_before_the_start(loop: ManualLoop, namespace: LogNamespace, consumer: Consumer) -> None:
    fill(namespace, 1)
    sink = RecordingSink()
    subscription = consumer.join(Subscribe(filter=EVERYTHING), sink)
    loop.turn(3)
    assert not sink.writes
    subscription.start()
    loop.turn(3)
    assert sink.indexes == [1]


def test_new_events_wake_who_has_caught_up(loop: ManualLoop, namespace: LogNamespace, consumer: Consumer) -> None:
    sink = RecordingSink()
    join(consumer, sink, prefetch=9)
    loop.turn(3)
    fill(namespace, 2)
    loop.turn(3)
    assert sink.indexes == [1, 2]


def test_what_a_connection_leaves_goes_to_the_others_and_its_owner_is_told_once(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer, owner: RecordingOwner
) -> None:
    fill(namespace, 1)
    first, second = RecordingSink(), RecordingSink()
    leaving = join(consumer, first)
    loop.turn(3)
    staying = join(consumer, second)
    leaving.close()
    leaving.close()
    loop.turn(3)
    assert (second.indexes, owner.gone) == ([1], [leaving])
    assert isinstance(say(staying, Action.ACK, 7)[0], UnknownEventError)
    assert not say(staying, Action.ACK, 1)
    assert not say(staying, Action.ACK, 1), "saying it again changes nothing"


def test_who_has_an_event_is_who_settles_it(loop: ManualLoop, namespace: LogNamespace, consumer: Consumer) -> None:
    fill(namespace, 1)
    owning = join(consumer, RecordingSink())
    loop.turn(3)
    other = join(consumer, RecordingSink())
    assert isinstance(say(other, Action.ACK, 1)[0], NotOwnerError)
    assert not say(owning, Action.ACK, 1)


def test_attempts_that_time_out_are_made_again_and_then_given_up_to_the_owner(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer, owner: RecordingOwner
) -> None:
    fill(namespace, 1)
    sink = RecordingSink()
    subscription = join(consumer, sink)
    loop.turn(3)
    for attempts in (1, 2):
        assert (sink.indexes, owner.buried) == ([1] * attempts, [])
        loop.advance(5.1)
    assert owner.buried == [(1, "not acknowledged within 5s")]
    refused = say(subscription, Action.ACK, 1)
    assert "was given up" in refused[0].message


def test_a_rejection_is_settled_when_its_owner_has_settled_it(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer, owner: RecordingOwner
) -> None:
    fill(namespace, 1)
    subscription = join(consumer, RecordingSink())
    loop.turn(3)
    owner.error = BusError("no room for it")
    ack = Acknowledge(
        consumer_id=subscription.consumer_id, event_ids=(event_id(1),), action=Action.REJECT, reason="bad"
    )
    answers: list[BusError | None] = []
    consumer.give_up(consumer.settle(subscription, ack).given_up, answers.append)
    assert (owner.buried, answers) == ([(1, "bad")], [owner.error])


def test_one_that_is_closed_hands_out_nothing_though_its_turn_was_due(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer
) -> None:
    fill(namespace, 1)
    sink = RecordingSink()
    subscription = join(consumer, sink)
    consumer.close()
    loop.turn(3)
    loop.advance(60)
    subscription.close()
    assert not sink.writes


def test_a_connection_that_the_server_ends_costs_no_attempt(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer
) -> None:
    fill(namespace, 1)
    subscription = join(consumer, RecordingSink())
    loop.turn(3)
    assert [found.attempts for found in consumer.pending] == [1]
    consumer.close()
    subscription.close()
    assert [found.attempts for found in consumer.pending] == [0]


@pytest.mark.parametrize(
    ("options", "reason"), [({"limit": 2}, "limit"), ({"follow": False}, "tail")], ids=["limit", "tail"]
)
def test_a_bounded_stream_ends_when_all_it_got_is_settled(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer, options: dict[str, Any], reason: str
) -> None:
    fill(namespace, 2)
    sink = RecordingSink()
    subscription = join(consumer, sink, prefetch=9, **options)
    loop.turn(3)
    fill(namespace, 3)
    loop.turn(3)
    assert (sink.indexes, sink.ended) == ([1, 2], [])
    say(subscription, Action.ACK, 1, 2)
    loop.turn(3)
    assert (sink.indexes, sink.ended) == ([1, 2], [reason])


def test_what_retention_takes_is_told_to_every_connection_once(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer
) -> None:
    fill(namespace, 40)
    sink = RecordingSink()
    join(consumer, sink, prefetch=2)
    loop.turn(3)
    namespace.store.drop_before(30)
    first = namespace.first
    assert [found.index for found in consumer.lose(first)] == [1, 2]
    loop.turn(3)
    assert [(kind, gap["reason"], gap["first_missing"], gap["next_index"]) for kind, gap in sink.told] == [
        ("gap", "expired", 1, first)
    ]
    assert sink.indexes == [1, 2, first, first + 1]


def test_why_nothing_is_delivered_is_one_of_the_answers(
    loop: ManualLoop, namespace: LogNamespace, consumer: Consumer
) -> None:
    def reason() -> str:
        return why(consumer, now=loop.time())

    assert reason() == NO_CONNECTION
    sink = RecordingSink()
    subscription = join(consumer, sink, prefetch=1)
    fill(namespace, 2)
    assert reason() == DELIVERING
    loop.turn(3)
    loop.advance(2)
    assert reason() == f"window full since 2s by {event_id(1)}"
    say(subscription, Action.NACK, 1, delay=30.0)
    loop.turn(3)
    say(subscription, Action.ACK, 2)
    assert reason() == "caught up, 1 nacked, the next due in 30s"
    loop.advance(31)
    loop.advance(5)
    assert "let a delivery time out" in reason()
    say(subscription, Action.ACK, 1)
    assert reason() == CAUGHT_UP
    sink.room = 0
    assert reason() == SLOW
    assert len(set(ANSWERS)) == len(ANSWERS)
