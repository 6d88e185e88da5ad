"""When states end by themselves: a heap of times, with what has become stale in between."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from bus.engine.consumer.delivery import TIMED, Delivery

_STALE = 1024
"""Entries that may be stale, beyond one for each delivery, before the heap is made anew."""


class Deadlines:
    """The ``due`` of deliveries by index; what has been settled or set anew since is passed over."""

    def __init__(self, deliveries: Mapping[int, Delivery]) -> None:
        self._deliveries = deliveries
        self._heap: list[tuple[float, int]] = []

    def set(self, delivery: Delivery, due: float) -> None:
        delivery.due = due
        heappush(self._heap, (due, delivery.index))
        if len(self._heap) > 2 * len(self._deliveries) + _STALE:
            self._heap = [(found.due, index) for index, found in self._deliveries.items() if found.state in TIMED]
            heapify(self._heap)

    def take(self, *, now: float, most: int) -> list[Delivery]:
        """The deliveries whose state is over at *now*, at most so many."""
        over: list[Delivery] = []
        while self._heap and self._heap[0][0] <= now and len(over) < most:
            due, index = heappop(self._heap)
            delivery = self._deliveries.get(index)
            if delivery and delivery.due == due and delivery.state in TIMED:
                delivery.due = 0.0
                over.append(delivery)
        return over

    @property
    def next(self) -> float | None:
        """When there is something to take next; it may turn out then that there is nothing after all."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)

    def __repr__(self) -> str:
        return f"<Deadlines {len(self)} set>"
