"""Publishing: the POST side. One event, an atomic batch, or one event whose publisher waits for more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, cast

from bus.drafts import decode_draft, decode_drafts
from bus.engine.base import Expected, Outcome, Publishing
from bus.errors import BusError, InvalidParameterError
from bus.event import Draft, Receipt, new_inbox
from bus.server.api.permits import Permits
from bus.server.api.timeouts import Timeouts
from bus.server.api.waiting import ConfirmWaiting, ReplyWaiting, Wait
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_accepted
from bus.subject import is_inbox
from bus.units import parse_whole
from bus.wire import Durability

_ARRAY: Final = re.compile(rb"[ \t\r\n]*\[")


def read_events(body: bytes) -> list[Draft]:
    """The event in *body*, or those of an array. Raises `InvalidEventError`."""
    return [decode_draft(body)] if body.startswith(b"{") or not _ARRAY.match(body) else decode_drafts(body)


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


def read_expected(request: Request) -> Expected | None:
    """Where the publisher expects the log to end, None if that doesn't matter. Raises `InvalidParameterError`."""
    last, of_subject = (_read_index(request, name) for name in ("expect", "expect_subject"))
    return None if last is None and of_subject is None else Expected(last, of_subject)


def _read_index(request: Request, name: str) -> int | None:
    text = request.parameter(name)
    return parse_whole(text, what=name, least=0) if text else None


def publish_and_wait(
    engine: Publishing,
    permits: Permits,
    timeouts: Timeouts,
    request: Request,
    responder: Responder,
    wait: Wait,
    *,
    now: int,
) -> None:
    """Publish the event of *request*, and answer with what *wait* asks for.

    Raises what `Permits.check_events` and `Engine.publish` do.
    """
    draft = decode_draft(request.body)
    if is_inbox(draft.subject or ""):
        raise InvalidParameterError("nobody answers what is published to an inbox: publish without wait")
    if wait.reply:
        draft.response_subject = new_inbox()
    permits.check_events(request, responder, (draft,))
    make = ReplyWaiting if wait.reply else ConfirmWaiting
    make(engine, timeouts, responder, wait).begin(draft, expected=read_expected(request), now=now)
