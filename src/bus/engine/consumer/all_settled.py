"""One answer for several things that are under way."""

from __future__ import annotations

from bus.engine.base import Settled
from bus.errors import BusError


def all_settled(count: int, settled: Settled) -> Settled:
    """What each of *count* things calls when it is done; the last one calls *settled*, with the first error."""
    left = count
    first: BusError | None = None

    def one(error: BusError | None) -> None:
        nonlocal left, first
        left -= 1
        first = first or error
        if not left:
            settled(first)

    return one
