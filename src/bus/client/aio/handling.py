"""What a worker takes from its stream, and what it says of an event by what its handler did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, cast

from bus.client.aio.delivery import AsyncDelivery
from bus.client.aio.stream import AsyncStream
from bus.client.core.decode import UndecodableEventError
from bus.client.core.worker_plan import WorkPlan, describe_error, rejection
from bus.errors import BusError, InvalidEventError

AsyncHandler = Callable[[AsyncDelivery], Awaitable[Any]]
"""What is called with each event and awaited; a result other than None answers a request."""

AsyncTakenEvent = tuple[AsyncDelivery, UndecodableEventError | None]
"""An event, with what is wrong with it if it can't be decoded."""


class AsyncHandling:
    """The events of a worker with *plan*, from its stream to the last word on them."""

    def __init__(self, plan: WorkPlan) -> None:
        self._plan = plan

    async def take(self, stream: AsyncStream) -> AsyncTakenEvent | None:
        """Wait for the next event of *stream*; None at its end."""
        try:
            return await anext(stream), None
        except StopAsyncIteration:
            return None
        except UndecodableEventError as error:
            return cast(AsyncDelivery, error.event), error

    async def returned(self, event: AsyncDelivery, result: Any) -> None:
        """The handler of *event* returned *result*: say so."""
        if result is None or not event.response_subject:
            await event.ack()
            return
        try:
            await event.reply(result)
        except InvalidEventError as error:  # what the handler returned can't be JSON
            await self.raised(event, error)

    async def raised(self, event: AsyncDelivery, error: BaseException) -> None:
        """The handler of *event* raised *error*: say so."""
        if reason := rejection(event, error):
            await event.reject(reason=reason)
        else:
            await event.nack(delay=self._plan.delay(event.attempts), reason=describe_error(error))

    async def extend(self, events: Iterable[AsyncDelivery]) -> None:
        """Ask for more time for *events*, whose handlers run; what doesn't get through is asked again."""
        for event in events:
            with suppress(BusError):
                if event.connection.live:
                    await event.extend()

    async def give_back(self, event: AsyncDelivery) -> None:
        """*event* was not begun, and the worker stops."""
        if event.connection.live:
            await event.nack(reason="the worker is stopping")

    def __repr__(self) -> str:
        return f"<AsyncHandling for {self._plan.consumer}>"
