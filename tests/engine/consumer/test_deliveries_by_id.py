"""Deliveries by id, beside a list: what an id means to a connection."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.consumer.deliveries_by_id import DeliveriesById
from bus.engine.consumer.delivery import Delivery, DeliveryState, Window

steps = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove", "fly", "ready"]), st.sampled_from("xy"), st.integers(0, 9)),
    max_size=50,
)


@given(steps)
def test_ones_own_is_meant_first_then_what_is_free_and_the_earliest_of_each(steps: list[tuple[str, str, int]]) -> None:
    mine, other = Window("mine"), Window("other")
    by_id, all_of_them = DeliveriesById(), list[Delivery]()
    for index, (what, event_id, number) in enumerate(steps):
        found = all_of_them[number % len(all_of_them)] if all_of_them else None
        if what == "add":
            all_of_them.append(Delivery(1000 - index if number % 2 else index, event_id))
            by_id.add(all_of_them[-1])
        elif what == "remove" and found:
            all_of_them.remove(found)
            by_id.remove(found)
        elif found:
            found.state = DeliveryState.IN_FLIGHT if what == "fly" else DeliveryState.READY
            found.owner = mine if number % 2 else other
        for name in "xy":
            same = sorted((each for each in all_of_them if each.event_id == name), key=lambda each: each.index)
            flying = [each for each in same if each.state is DeliveryState.IN_FLIGHT]
            own = [each for each in flying if each.owner is mine]
            meant = own or [each for each in same if each not in flying] or same
            assert by_id.find(name, mine) is (meant[0] if meant else None)
            assert (name in by_id) == bool(same)
