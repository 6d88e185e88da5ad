"""What a worker takes from its stream, and what it says of an event by what its handler did."""
# Generated from bus/client/aio/handling.py by `make generate`: change that one.

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, cast

from bus.client.blocking.delivery import Delivery
from bus.client.blocking.stream import Stream
from bus.client.core.decode import UndecodableEventError
from bus.client.core.worker_plan import WorkPlan, describe_error, rejection
from bus.errors import BusError, InvalidEventError

Handler = Callable[[Delivery], Any]
"""What is called with each event; a result other than None answers a request."""

Taken = tuple[Delivery, UndecodableEventError | None]
"""An event, with what is wrong with it if it can't be decoded."""


def take(stream: Stream) -> Taken | None:
    """Wait for the next event of *stream*; None at its end."""
    try:
        return next(stream), None
    except StopIteration:
        return None
    except UndecodableEventError as error:
        return cast(Delivery, error.event), error


def settle_returned(event: Delivery, result: Any, plan: WorkPlan) -> None:
    """The handler of *event* returned *result*."""
    if result is None or not event.response_subject:
        event.ack()
        return
    try:
        event.reply(result)
    except InvalidEventError as error:  # what the handler returned can't be JSON
        settle_raised(event, error, plan)


def settle_raised(event: Delivery, error: BaseException, plan: WorkPlan) -> None:
    """The handler of *event* raised *error*."""
    if reason := rejection(event, error):
        event.reject(reason=reason)
    else:
        event.nack(delay=plan.delay(event.attempts), reason=describe_error(error))


def extend_all(events: Iterable[Delivery]) -> None:
    """Ask for more time for *events*; what can't be asked is asked the next time."""
    for event in events:
        with suppress(BusError):
            if event.connection.live:
                event.extend()
