"""The connections of a consumer: which of them are still heard of."""

from __future__ import annotations

from bus.engine.consumer.delivery import UNLOST, Delivery, Window


class Windows:
    """Those of a consumer's connections; ``heard`` is how many of them aren't silent."""

    def __init__(self) -> None:
        self.heard = 0

    def open(self, owner: str, worker: str) -> Window:
        self.heard += 1
        return Window(owner, worker)

    def close(self, window: Window) -> list[Delivery]:
        """The connection is gone; returns what it had in flight."""
        self.heard -= 0 if window.silent else 1
        return list(window.flying.values())

    def hear(self, window: Window, *, now: float) -> None:
        """The connection says something; what it has in flight is its own again."""
        window.spoke = now
        if window.silent:
            window.silent = window.crowded = False
            window.timed_out.clear()
            self.heard += 1
            for delivery in window.flying.values():
                delivery.loss = UNLOST

    def miss(self, window: Window) -> None:
        """The connection is silent."""
        if not window.silent:
            window.silent = True
            window.crowded = len(window.flying) > 1
            self.heard -= 1

    def __repr__(self) -> str:
        return f"<Windows {self.heard} heard>"
