"""Keeps no consumers: for a server whose namespaces are all in memory, which has no directory."""

from __future__ import annotations

from collections.abc import Mapping

from bus.engine.embedded.consumers.consumer_store import ConsumerState


class NoConsumerStore:
    """Stands where a `ConsumerStore` would be."""

    def load(self) -> list[ConsumerState]:
        return []

    def has_forgotten(self, name: str) -> bool:
        return False

    def save(self, states: Mapping[str, bytes], *, turn: int) -> None:
        """Nothing is kept, and nothing is lost by it."""

    def erase(self) -> None:
        """Nothing is left anyway."""

    def close(self) -> None:
        """Nothing is open."""
