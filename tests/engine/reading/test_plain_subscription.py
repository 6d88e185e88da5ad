"""A plain subscription from stage to stage: it reads while its sink takes more, and is live when it has caught up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bus.engine.base import MUCH, Subscribe
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.reading.plain_subscription import PlainSubscription
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.start import StartKind, StartPoint
from bus.subject import Filter
from bus.units import NEVER
from tests.engine.support import ManualLoop, RecordingSink, batch, fill, open_namespace, store

Subscriber = Callable[..., PlainSubscription]


@pytest.fixture
def namespace(loop: ManualLoop) -> LogNamespace:
    return open_namespace(loop)


@pytest.fixture
def closed() -> list[str]:
    return []


@pytest.fixture
def subscribe(loop: ManualLoop, namespace: LogNamespace, closed: list[str]) -> Subscriber:
    """Subscribe to all from the oldest event on, and start."""
    turns = RoundRobin(loop)

    def subscribe(sink: RecordingSink, **options: Any) -> PlainSubscription:
        wanted = Subscribe(filter=Filter.parse(["app.>"]), start=StartPoint(StartKind.OLDEST), **options)
        subscription = PlainSubscription(namespace, wanted, sink, turns=turns, closed=closed.append)
        subscription.start()
        return subscription

    return subscribe


def test_what_is_stored_is_read_and_what_comes_next_is_live(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber
) -> None:
    fill(namespace, 3)
    one, other = RecordingSink(), RecordingSink()
    subscribe(one)
    subscribe(other)
    assert not one.writes, "nothing is sent before its turn"
    loop.turn(3)
    fresh = batch(4, ["app.a", "app.b"])
    store(namespace, fresh)
    assert one.indexes == other.indexes == [1, 2, 3, 4, 5]
    assert one.writes[-1] is other.writes[-1] is fresh.frames, "those who are live get the same bytes"


def test_what_has_expired_is_passed_by_and_does_not_count(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber
) -> None:
    store(namespace, batch(1, ["app.a"] * 4, expires=[9, 10, 11, NEVER]))
    namespace.clock = lambda: 10
    sinks = limited, copying, _ = [RecordingSink() for _ in range(3)]
    subscribe(limited, limit=1)
    subscribe(copying, follow=False, expired=True)
    subscribe(sinks[2], follow=False)
    loop.turn(5)
    assert [sink.indexes for sink in sinks] == [[3], [1, 2, 3, 4], [3, 4]]
    assert (limited.ended, copying.ended) == (["limit"], ["tail"])


def test_bytes_that_are_made_again_are_the_same_however_late(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber
) -> None:
    """They are part of a piece that was begun when the events hadn't expired."""
    much = b'"%b"' % (b"x" * MUCH)
    store(namespace, batch(1, ["app.a", "app.a"], payload=much, expires=[NEVER, 10]))
    namespace.clock = lambda: 9
    sink = RecordingSink()
    subscribe(sink)
    loop.turn(3)
    namespace.clock = lambda: 10
    again = sink.again[0]
    assert again and again() == sink.writes[0] and sink.indexes == [1, 2]


@pytest.mark.parametrize(
    ("options", "reason", "got"), [({"limit": 2}, "limit", [1, 2]), ({"follow": False}, "tail", [1, 2, 3])]
)
def test_a_bounded_stream_ends_by_itself(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber, closed: list[str],
    options: dict[str, Any], reason: str, got: list[int],
) -> None:  # fmt: skip
    fill(namespace, 3)
    sink = RecordingSink()
    subscription = subscribe(sink, **options)
    loop.turn(3)
    fill(namespace, 1)
    loop.turn(3)
    assert (sink.indexes, sink.ended, closed) == (got, [reason], [subscription.consumer_id])


def test_one_with_a_limit_waits_for_the_events_it_lacks(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber
) -> None:
    sink = RecordingSink()
    subscribe(sink, limit=3)
    for count in (1, 2, 3):
        loop.turn(3)
        assert not sink.ended
        fill(namespace, 1)
        loop.turn(3)
        assert sink.indexes == list(range(1, count + 1))
    assert sink.ended == ["limit"]


def test_a_full_sink_is_sent_nothing_until_it_drains_and_misses_nothing(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber
) -> None:
    sink = RecordingSink(room=1)
    subscription = subscribe(sink)
    fill(namespace, 4, payload=b'"%b"' % (b"x" * 200_000))
    loop.turn(5)
    assert sink.indexes == [1, 2]
    fill(namespace, 3)
    loop.turn(5)
    assert sink.indexes == [1, 2]
    sink.room = float("inf")
    subscription.resume()
    subscription.resume()
    loop.turn(5)
    fill(namespace, 2)
    assert sink.indexes == list(range(1, 10))


def test_one_that_is_live_and_fills_up_goes_on_from_the_log(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber
) -> None:
    sink = RecordingSink(room=1)
    subscription = subscribe(sink)
    loop.turn(2)
    for _ in range(4):
        fill(namespace, 1)
    loop.turn(2)
    assert sink.indexes == [1]
    sink.room = float("inf")
    subscription.resume()
    loop.turn(2)
    fill(namespace, 1)
    assert sink.indexes == [1, 2, 3, 4, 5]


def test_a_turn_is_one_chunk_whoever_reads(loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber) -> None:
    for _ in range(6):
        fill(namespace, 1, payload=b'"%b"' % (b"x" * 200_000))
    sinks = [RecordingSink(), RecordingSink()]
    for sink in sinks:
        subscribe(sink)
    for turn in range(1, 6):
        loop.turn()
        assert sum(len(sink.writes) for sink in sinks) <= turn
    loop.turn(10)
    assert [sink.indexes for sink in sinks] == [[1, 2, 3, 4, 5, 6]] * 2


def test_much_can_be_made_again(loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber) -> None:
    store(namespace, batch(1, ["app.a"], payload=b'"%b"' % (b"x" * MUCH)))
    sink = RecordingSink()
    subscribe(sink)
    loop.turn(3)
    (again,) = sink.again
    assert again and again() == sink.writes[0]


def test_one_that_is_closed_by_what_it_is_sent_joins_no_group(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber, closed: list[str]
) -> None:
    class Breaking(RecordingSink):
        def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
            super().write(data, again)
            subscription.close()

    fill(namespace, 1)
    sink = Breaking()
    subscription = subscribe(sink)
    loop.turn(3)
    fill(namespace, 1)
    loop.turn(3)
    assert (sink.indexes, len(namespace.live), len(closed)) == ([1], 0, 1)


def test_a_mistake_in_reading_breaks_the_stream_off_once(
    loop: ManualLoop, namespace: LogNamespace, subscribe: Subscriber, closed: list[str]
) -> None:
    class Broken(RecordingSink):
        def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
            raise RuntimeError("on purpose")

    fill(namespace, 1)
    sink = Broken()
    subscribe(sink)
    loop.turn(3)
    assert [error.status for error in sink.failed] == [500]
    assert len(closed) == 1
