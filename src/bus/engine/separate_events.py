"""Events that come together and are stored each by itself: one answer for all of them, when all is known.

refused at once ──────────────┐
stored with the next commit ──┼─▶ outcomes, in the order of the events ─▶ publisher
parked behind a claimed key ──┘
"""

from __future__ import annotations

from collections.abc import Sequence

from bus.engine.base import Outcome, Publisher
from bus.errors import BusError
from bus.wire import Durability

_UNKNOWN = BusError("")


class Outcomes:
    """What becomes of *count* events; *publisher* is told when the last outcome is known."""

    def __init__(self, count: int, publisher: Publisher, durability: Durability) -> None:
        self._outcomes: list[Outcome] = [_UNKNOWN] * count
        self._missing = count
        self._publisher = publisher
        self._durability = durability

    def put(self, places: Sequence[int], outcomes: Sequence[Outcome]) -> None:
        """The events at *places* have these *outcomes*."""
        for place, outcome in zip(places, outcomes, strict=True):
            self._outcomes[place] = outcome
        self._missing -= len(places)
        if not self._missing:
            self._publisher.stored(self._outcomes, self._durability)

    def at(self, places: Sequence[int]) -> SomeOutcomes:
        """The publisher of the events at *places*."""
        return SomeOutcomes(self, places)

    def __repr__(self) -> str:
        return f"<Outcomes of {len(self._outcomes)} events, {self._missing} missing>"


class SomeOutcomes:
    """Takes what becomes of the events at *places*, for all of them."""

    __slots__ = ("_places", "_whole")

    def __init__(self, whole: Outcomes, places: Sequence[int]) -> None:
        self._whole = whole
        self._places = places

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self._whole.put(self._places, outcomes)

    def failed(self, error: BusError) -> None:
        self._whole.put(self._places, [error] * len(self._places))
