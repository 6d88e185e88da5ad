"""Whoever has consumers, and what they tell it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bus.engine.base import Settled
from bus.engine.consumer.delivery import GivenUp
from bus.engine.consumer.subscription import ConsumerSubscription, SharedConsumer


class ConsumerOwner(Protocol):
    """The owner of a consumer, which decides what outlives a connection, a delivery or the server."""

    def left(self, subscription: ConsumerSubscription) -> None:
        """The connection is gone; the consumer has settled what that means for its deliveries."""

    def given_up(self, consumer: SharedConsumer, gone: GivenUp, settled: Settled) -> None:
        """An event will not be delivered again: keep it or say so, and call *settled* when that is done."""

    def acknowledged(self, consumer: SharedConsumer, indexes: Sequence[int], settled: Settled) -> None:
        """These events are done: call *settled* when that is known as far as it is promised."""

    def changed(self, consumer: SharedConsumer) -> None:
        """What is pending has changed, or the place in the log."""
