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

AsyncTaken = tuple[AsyncDelivery, UndecodableEventError | None]
"""An event, with what is wrong with it if it can't be decoded."""


async def take(stream: AsyncStream) -> AsyncTaken | None:
    """Wait for the next event of *stream*; None at its end."""
    try:
        return await anext(stream), None
    except StopAsyncIteration:
        return None
    except UndecodableEventError as error:
        return cast(AsyncDelivery, error.event), error


async def settle_returned(event: AsyncDelivery, result: Any, plan: WorkPlan) -> None:
    """The handler of *event* returned *result*."""
    if result is None or not event.response_subject:
        await event.ack()
        return
    try:
        await event.reply(result)
    except InvalidEventError as error:  # what the handler returned can't be JSON
        await settle_raised(event, error, plan)


async def settle_raised(event: AsyncDelivery, error: BaseException, plan: WorkPlan) -> None:
    """The handler of *event* raised *error*."""
    if reason := rejection(event, error):
        await event.reject(reason=reason)
    else:
        await event.nack(delay=plan.delay(event.attempts), reason=describe_error(error))


async def extend_all(events: Iterable[AsyncDelivery]) -> None:
    """Ask for more time for *events*; what can't be asked is asked the next time."""
    for event in events:
        with suppress(BusError):
            if event.connection.live:
                await event.extend()
