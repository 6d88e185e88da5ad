"""Order by key, beside a queue for each key."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.consumer.delivery import Delivery, DeliveryState
from bus.engine.consumer.key_order import KeyOrder


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("ab"), st.integers(0, 5)), max_size=60))
def test_one_of_a_key_is_free_and_the_others_follow_in_order(steps: list[tuple[bool, str, int]]) -> None:
    order, queues = KeyOrder(), dict[str, list[Delivery]]({"a": [], "b": []})
    for index, (enters, key, place) in enumerate(steps):
        queue = queues[key]
        if enters:
            queue.append(Delivery(index, f"e{index}", key=key))
            assert order.enter(queue[-1]) == (len(queue) == 1)
        elif queue:
            gone = queue[place % len(queue)]
            was_free = gone is queue[0]
            queue.remove(gone)
            following = order.leave(gone)
            assert following is (queue[0] if was_free and queue else None)
            if following:
                following.state = DeliveryState.READY
        for queue in queues.values():
            states = [found.state is DeliveryState.HELD for found in queue]
            assert states == [place > 0 for place in range(len(queue))]
