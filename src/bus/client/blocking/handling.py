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

TakenEvent = tuple[Delivery, UndecodableEventError | None]
"""An event, with what is wrong with it if it can't be decoded."""


class Handling:
    """The events of a worker with *plan*, from its stream to the last word on them."""

    def __init__(self, plan: WorkPlan) -> None:
        self._plan = plan

    def take(self, stream: Stream) -> TakenEvent | None:
        """Wait for the next event of *stream*; None at its end."""
        try:
            return next(stream), None
        except StopIteration:
            return None
        except UndecodableEventError as error:
            return cast(Delivery, error.event), error

    def returned(self, event: Delivery, result: Any) -> None:
        """The handler of *event* returned *result*: say so."""
        if result is None or not event.response_subject:
            event.ack()
            return
        try:
            event.reply(result)
        except InvalidEventError as error:  # what the handler returned can't be JSON
            self.raised(event, error)

    def raised(self, event: Delivery, error: BaseException) -> None:
        """The handler of *event* raised *error*: say so."""
        if reason := rejection(event, error):
            event.reject(reason=reason)
        else:
            event.nack(delay=self._plan.delay(event.attempts), reason=describe_error(error))

    def extend(self, events: Iterable[Delivery]) -> None:
        """Ask for more time for *events*, whose handlers run; what doesn't get through is asked again."""
        for event in events:
            with suppress(BusError):
                if event.connection.live:
                    event.extend()

    def give_back(self, event: Delivery) -> None:
        """*event* was not begun, and the worker stops."""
        if event.connection.live:
            event.nack(reason="the worker is stopping")

    def __repr__(self) -> str:
        return f"<Handling for {self._plan.consumer}>"
