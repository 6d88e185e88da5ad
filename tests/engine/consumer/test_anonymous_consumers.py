"""Anonymous consumers: one connection each, gone with it, and told what they will not get again."""

from __future__ import annotations

from bus.engine.base import AckMode, Acknowledge, Action, Subscribe
from bus.engine.consumer.anonymous_consumers import AnonymousConsumers
from bus.engine.start import StartKind, StartPoint
from bus.errors import BusError
from bus.subject import Filter
from tests.engine.support import ManualLoop, RecordingSink, event_id, fill, open_namespace

WANTED = Subscribe(
    filter=Filter.parse(["app.>"]), start=StartPoint(StartKind.OLDEST), ack=AckMode.MANUAL, redelivery_count=1
)


def test_an_event_that_is_given_up_is_told_as_dropped_and_the_next_one_comes(loop: ManualLoop) -> None:
    namespace, refused = open_namespace(loop), list[tuple[str, str]]()
    fill(namespace, 2)
    consumers = AnonymousConsumers(
        loop=loop, left=lambda consumer_id: None, refused=lambda where, gone: refused.append((where.name, gone.reason))
    )
    sink = RecordingSink()
    subscription = consumers.join(namespace, WANTED, sink)
    subscription.start()
    loop.turn(3)
    ack = Acknowledge(
        consumer_id=subscription.consumer_id, event_ids=(event_id(1),), action=Action.REJECT, reason="bad"
    )
    answers: list[BusError | None] = []
    subscription.consumer.give_up(subscription.consumer.settle(subscription, ack).given_up, answers.append)
    loop.turn(3)
    dropped = {"id": event_id(1), "index": 1, "attempts": 1, "reason": "bad"}
    assert (sink.told, refused, answers) == ([("dropped", dropped)], [("app", "bad")], [None])
    assert sink.indexes == [1, 2]


def test_one_is_gone_with_its_connection(loop: ManualLoop) -> None:
    namespace, left = open_namespace(loop), list[str]()
    fill(namespace, 1)
    consumers = AnonymousConsumers(loop=loop, left=left.append, refused=lambda namespace, gone: None)
    sink = RecordingSink()
    subscription = consumers.join(namespace, WANTED, sink)
    subscription.start()
    assert [consumer.name for consumer in consumers] == [""]
    subscription.close()
    loop.turn(3)
    assert (left, len(consumers), sink.writes) == ([subscription.consumer_id], 0, [])
