"""An event in the hands of a program with an event loop."""

from __future__ import annotations

from typing import Any

from bus.client.core.delivery import Delivered
from bus.client.core.get_options import Duration


class AsyncDelivery(Delivered, dict=True):
    """An event delivered to an `AsyncStream`. What is said about it returns once the server has taken it.

    It has the fields of an [Event][bus.Event], and this can be said about it. Each method may raise these:

    Raises:
        UnknownEventError: the event was given up.
        NotOwnerError: it went to another connection of the consumer meanwhile.
        TimedOutError: the server doesn't answer.
        ConnectionFailedError: the server can't be reached.
    """

    async def ack(self) -> None:
        """Say that the event is done. It answers a publisher that waits for confirmation."""
        await self.connection.stream.settle(self, self._acknowledged())

    async def reply(self, payload: Any) -> None:
        """Answer a request, and acknowledge it.

        Parameters:
            payload: anything msgspec can write as JSON.

        Raises:
            InvalidEventError: the event asks for no reply, or *payload* can't be written as JSON.
        """
        await self.connection.stream.settle(self, self._replied(payload))

    async def nack(self, *, delay: Duration = 0, reason: str = "") -> None:
        """Have the event delivered again.

        Parameters:
            delay: seconds, or text such as ``"30s"``, until then.
            reason: why; kept with the dead letter if this was the last attempt.
        """
        await self.connection.stream.settle(self, self._said("nack", delay=delay, reason=reason))

    async def extend(self, *, delay: Duration | None = None) -> None:
        """Ask for more time before redelivery.

        Parameters:
            delay: seconds from now, or text such as ``"1m"``; by default the redelivery time again.
        """
        await self.connection.stream.settle(self, self._said("extend", delay=delay))

    async def reject(self, *, reason: str = "") -> None:
        """Give the event up: a durable consumer's goes to the dead letters, and who asked gets a `ServiceError`.

        Parameters:
            reason: why; kept with the dead letter, and the message of the requester's error.
        """
        await self.connection.stream.settle(self, self._said("reject", reason=reason))
