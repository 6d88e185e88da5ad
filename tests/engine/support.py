"""Whoever waits for an engine: what it is told, kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bus.engine.base import Outcome, Subscription
from bus.errors import BusError
from bus.wire import Durability


@dataclass(slots=True)
class Publishing:
    """Waits for events to be stored."""

    outcomes: list[Outcome] = field(default_factory=list)
    durability: Durability | None = None
    failure: BusError | None = None

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self.outcomes.extend(outcomes)
        self.durability = durability

    def failed(self, error: BusError) -> None:
        self.failure = error


@dataclass(slots=True)
class Subscribing:
    """Waits for a subscription."""

    subscription: Subscription | None = None
    failure: BusError | None = None

    def opened(self, subscription: Subscription) -> None:
        self.subscription = subscription

    def refused(self, error: BusError) -> None:
        self.failure = error

    def start(self) -> Subscription:
        """The subscription, which is there, started."""
        assert self.subscription
        self.subscription.start()
        return self.subscription
