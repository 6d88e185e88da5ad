"""A durable consumer: what is written of it is what it goes on with."""

from __future__ import annotations

from bus.engine.base import Subscribe
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import DeliveryState
from bus.engine.consumer.terms import Terms
from bus.engine.embedded.consumers.durable_consumer import LONGEST_NACK_DELAY, DurableConsumer
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.reading.start_position import StartPosition
from bus.subject import Filter
from bus.units import SECOND_NS
from tests.engine.support import ManualLoop, RecordingOwner, RecordingSink, event_id, fill, open_namespace

EVERYTHING = Filter.parse(["app.>"])
WALL = 1_700_000_000 * SECOND_NS


def make(loop: ManualLoop, namespace: LogNamespace, *, at: int = 1) -> DurableConsumer:
    terms = Terms(filter=EVERYTHING)
    consumer = Consumer(namespace, terms, StartPosition(at), name="billing", loop=loop, owner=RecordingOwner())
    return DurableConsumer(consumer, terms)


def test_a_consumer_goes_on_where_it_was_and_no_delay_is_longer_than_any_may_be(loop: ManualLoop) -> None:
    namespace = open_namespace(loop)
    fill(namespace, 3)
    before = make(loop, namespace)
    before.consumer.join(Subscribe(filter=EVERYTHING, prefetch=3), RecordingSink()).start()
    loop.turn(3)
    pending = before.consumer.pending
    (window,) = [found.owner for found in pending if found.index == 2]
    pending.nack(event_id(2), window, now=loop.now, delay=30)
    pending.nack(event_id(3), window, now=loop.now, delay=30)
    state = before.state(now=loop.now, wall=WALL)
    assert (state.cursor, [found.index for found in state.pending]) == (before.consumer.cursor, [1, 2, 3])
    after = make(loop, namespace, at=state.cursor)
    assert not after.restore(state.pending[:2], wall=WALL + 10 * SECOND_NS)
    assert not after.restore(state.pending[2:], wall=0)
    found = {each.index: each for each in after.consumer.pending}
    assert found[1].state is DeliveryState.READY
    assert (found[2].state, found[2].due - loop.now) == (DeliveryState.DELAYED, 20)
    assert found[3].due - loop.now == LONGEST_NACK_DELAY
