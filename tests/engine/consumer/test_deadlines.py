"""Deadlines, beside a table of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.consumer.deadlines import Deadlines
from bus.engine.consumer.delivery import Delivery, DeliveryState

steps = st.lists(
    st.tuples(st.sampled_from(["set", "set", "settle", "ready", "take"]), st.integers(1, 6), st.integers(0, 20)),
    max_size=80,
)


@given(steps)
def test_each_deadline_that_holds_is_taken_once_when_it_is_over(steps: list[tuple[str, int, int]]) -> None:
    deliveries: dict[int, Delivery] = {}
    deadlines, due, now = Deadlines(deliveries), dict[int, float](), 0.0
    for what, index, seconds in steps:
        match what:
            case "set":
                delivery = deliveries.setdefault(index, Delivery(index, f"e{index}"))
                delivery.state = DeliveryState.IN_FLIGHT
                due[index] = now + 1 + seconds
                deadlines.set(delivery, due[index])
            case "settle":
                deliveries.pop(index, None)
                due.pop(index, None)
            case "ready" if index in deliveries:
                deliveries[index].state = DeliveryState.READY
                due.pop(index, None)
            case "take":
                now += seconds
                over = deadlines.take(now=now, most=100)
                assert {found.index for found in over} == {index for index, at in due.items() if at <= now}
                assert len({found.index for found in over}) == len(over)
                for found in over:
                    found.state = DeliveryState.READY
                    del due[found.index]
        assert not due or (deadlines.next is not None and deadlines.next <= min(due.values()))


def test_no_more_are_taken_than_asked_for_and_the_earliest_first() -> None:
    deliveries = {index: Delivery(index, f"e{index}") for index in range(10)}
    deadlines = Deadlines(deliveries)
    for index, delivery in deliveries.items():
        delivery.state = DeliveryState.DELAYED
        deadlines.set(delivery, 100.0 - index)
    assert [found.index for found in deadlines.take(now=1000, most=3)] == [9, 8, 7]
    assert len(deadlines.take(now=1000, most=100)) == 7


def test_what_is_stale_has_a_bound() -> None:
    deliveries = {1: Delivery(1, "e1")}
    deliveries[1].state = DeliveryState.IN_FLIGHT
    deadlines = Deadlines(deliveries)
    for second in range(10_000):
        deadlines.set(deliveries[1], 1.0 + second)
    assert len(deadlines) < 2000
    assert [found.index for found in deadlines.take(now=20_000, most=9999)] == [1]
