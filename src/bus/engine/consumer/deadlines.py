"""When states end by themselves: a heap of times, with what has become stale in between.

    heap     (12.0, [7, 8, 9])   (12.4, [10])   (13.1, [11, 12])
              due    indexes of deliveries

What is handed out together has its deadline together, and is one entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush

from bus.engine.consumer.delivery import TIMED, Delivery

_STALE = 1024
"""Deadlines that may be stale, beyond one for each delivery, before the heap is made anew."""


class Deadlines:
    """The ``due`` of deliveries by index; what has been settled or set anew since is passed over."""

    def __init__(self, deliveries: Mapping[int, Delivery]) -> None:
        self._deliveries = deliveries
        self._heap: list[tuple[float, list[int]]] = []
        self._latest: tuple[float, list[int]] = (-1.0, [])
        self._count = 0

    def set(self, delivery: Delivery, due: float) -> None:
        delivery.due = due
        self._count += 1
        if self._latest[0] == due:
            self._latest[1].append(delivery.index)
        else:
            self._latest = due, [delivery.index]
            heappush(self._heap, self._latest)
        if self._count > 2 * len(self._deliveries) + _STALE:
            self._drop_stale()

    def _drop_stale(self) -> None:
        timed = [(found.due, [index]) for index, found in self._deliveries.items() if found.state in TIMED]
        self._heap, self._latest, self._count = timed, (-1.0, []), len(timed)
        heapify(self._heap)

    def take(self, *, now: float, most: int) -> list[Delivery]:
        """The deliveries whose state is over at *now*, at most so many, earliest first."""
        over: list[Delivery] = []
        while self._heap and self._heap[0][0] <= now and len(over) < most:
            due, indexes = self._heap[0]
            self._latest = -1.0, []
            looked_at = indexes[: most - len(over)]
            del indexes[: len(looked_at)]
            self._count -= len(looked_at)
            if not indexes:
                heappop(self._heap)
            over += [found for index in looked_at if (found := self._end(index, due))]
        return over

    def _end(self, index: int, due: float) -> Delivery | None:
        """The delivery at *index*, if its state ends at *due* and wasn't ended yet."""
        delivery = self._deliveries.get(index)
        if delivery is None or delivery.due != due or delivery.state not in TIMED:
            return None
        delivery.due = 0.0
        return delivery

    @property
    def next(self) -> float | None:
        """When there is something to take next; it may turn out then that there is nothing after all."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return self._count

    def __repr__(self) -> str:
        return f"<Deadlines {len(self)} set>"
