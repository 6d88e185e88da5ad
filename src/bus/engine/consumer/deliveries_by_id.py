"""Deliveries by the id of their event. A publisher may give several events one id."""

from __future__ import annotations

from bisect import insort
from operator import attrgetter
from typing import Final

from bus.engine.consumer.delivery import IN_FLIGHT, Delivery, Window

_index: Final = attrgetter("index")


class DeliveriesById:
    """Finds the deliveries that an id names, which is one unless its publisher used it again."""

    def __init__(self) -> None:
        self._first: dict[str, Delivery] = {}
        self._more: dict[str, list[Delivery]] = {}

    def add(self, delivery: Delivery) -> None:
        first = self._first.setdefault(delivery.event_id, delivery)
        if first is not delivery:
            insort(self._more.setdefault(delivery.event_id, [first]), delivery, key=_index)

    def remove(self, delivery: Delivery) -> None:
        same = self._more.get(delivery.event_id)
        if same is None:
            del self._first[delivery.event_id]
            return
        same.remove(delivery)
        self._first[delivery.event_id] = same[0]
        if len(same) == 1:
            del self._more[delivery.event_id]

    def find(self, event_id: str, window: Window) -> Delivery | None:
        """What *window* means by an id: what it has in flight, else what nobody has, the earliest of each."""
        same = self._more.get(event_id)
        if same is None:
            return self._first.get(event_id)
        return min(same, key=lambda found: (_distance(found, window), found.index))

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._first

    def __repr__(self) -> str:
        return f"<DeliveriesById of {len(self._first)} ids, {len(self._more)} of them used again>"


def _distance(delivery: Delivery, window: Window) -> int:
    if delivery.state is not IN_FLIGHT:
        return 1
    return 0 if delivery.owner is window else 2
