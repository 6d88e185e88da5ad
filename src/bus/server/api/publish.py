"""Publishing: the POST side. One event, an atomic batch, or one event whose publisher waits for more."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Sequence
from typing import cast

from bus.drafts import decode_draft
from bus.engine.base import Outcome, Publishing
from bus.engine.inbox_names import InboxNames
from bus.errors import BusError, InvalidParameterError
from bus.event import Receipt
from bus.server.api.permits import Permits
from bus.server.api.publish_options import PublishOptions
from bus.server.api.timeouts import Timeouts
from bus.server.api.waiting import ConfirmWaiting, ReplyWaiting
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_accepted
from bus.subject import is_inbox
from bus.wire import Durability


class Accepting:
    """Answers a request when its events are stored."""

    __slots__ = ("_responder",)

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        receipts = cast(Sequence[Receipt], outcomes)  # the batch is atomic
        self._responder.respond(202, format_accepted(receipts, durability))

    def failed(self, error: BusError) -> None:
        self._responder.fail(error)


def check_upload(request: Request) -> None:
    """Raise `InvalidParameterError` if the events of an NDJSON publish are to be waited for."""
    for name in request.query:
        others = " or an array" if name in ("expect", "expect_subject") else ""
        raise InvalidParameterError(f"{name} goes with one event{others}, not with NDJSON")


class WaitedPublishing:
    """Publishes events whose publishers wait for what others make of them, as *permits* allow."""

    def __init__(self, permits: Permits, loop: AbstractEventLoop) -> None:
        self._inboxes = InboxNames()
        self._permits = permits
        self._timeouts = Timeouts(loop)

    def publish(
        self, engine: Publishing, request: Request, responder: Responder, options: PublishOptions, *, now: int
    ) -> None:
        """Publish the event of *request* on *engine*, and answer with what its *options* wait for.

        Raises what `Permits.check_events` and `Engine.publish` do.
        """
        draft, wait = decode_draft(request.body), options.wait
        assert wait is not None, "nobody waits"
        if is_inbox(draft.subject or ""):
            raise InvalidParameterError("nobody answers what is published to an inbox: publish without wait")
        if wait.reply:
            draft.response_subject = self._inboxes.make()
        self._permits.check_events(request, responder, (draft,))
        make = ReplyWaiting if wait.reply else ConfirmWaiting
        make(engine, self._timeouts, responder, wait).begin(draft, expected=options.expected, now=now)

    def __repr__(self) -> str:
        return f"<WaitedPublishing, {self._timeouts!r}>"
