"""Order by key: of the events that share a key one is free, the others are HELD behind it."""

from __future__ import annotations

from collections import deque

from bus.engine.consumer.delivery import HELD, Delivery


class KeyOrder:
    """The deliveries of each key, in the order they came."""

    def __init__(self) -> None:
        self._held: dict[str, deque[Delivery]] = {}

    def enter(self, delivery: Delivery) -> bool:
        """Whether its key is free; else it is HELD from now on."""
        queue = self._held.get(delivery.key)
        if queue is None:
            self._held[delivery.key] = deque()
            return True
        delivery.state = HELD
        queue.append(delivery)
        return False

    def leave(self, delivery: Delivery) -> Delivery | None:
        """The delivery is gone: who goes on in its place. A HELD one only leaves its queue."""
        queue = self._held[delivery.key]
        if delivery.state is HELD:
            queue.remove(delivery)
            return None
        if queue:
            return queue.popleft()
        del self._held[delivery.key]
        return None

    def __repr__(self) -> str:
        return f"<KeyOrder {len(self._held)} busy>"
