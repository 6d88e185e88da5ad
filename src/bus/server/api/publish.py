"""Publishing: the POST side. One event, an atomic batch, and waiting for what others make of an event."""

from __future__ import annotations

import re
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import msgspec

from bus.drafts import decode_draft, decode_drafts
from bus.engine.base import Engine, Outcome
from bus.errors import BusError, InvalidParameterError, ServiceError, TimedOutError
from bus.event import Draft, Receipt, new_inbox
from bus.server.api.permits import Permits
from bus.server.http import limits
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_accepted, format_headers, receipt_headers
from bus.subject import is_inbox, parse_subject
from bus.units import parse_duration, parse_whole
from bus.wire import JSON, Durability

MOST_CONFIRMATIONS = 1000

_ARRAY = re.compile(rb"[ \t\r\n]*\[")


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
        raise InvalidParameterError(f"{name} goes with one event, not with NDJSON")


# -- waiting


def publish_and_wait(
    engine: Engine,
    permits: Permits,
    request: Request,
    responder: Responder,
    wait: str,
    *,
    now: int,
    loop: AbstractEventLoop,
) -> None:
    """Publish the event of *request*, and answer with what *wait* asks for.

    Raises what `Permits.check_events` and `Engine.publish` do.
    """
    timeout = _read_timeout(request.parameter("timeout"))
    draft = decode_draft(request.body)
    if is_inbox(draft.subject or ""):
        raise InvalidParameterError("nobody answers what is published to an inbox: publish without wait")
    if wait == "reply":
        draft.response_subject = new_inbox()
        waiting: WaitingPublisher = ReplyWaiting(engine, responder)
    else:
        waiting = ConfirmWaiting(engine, responder, _read_count(request.parameter("count")))
    permits.check_events(request, responder, [draft])
    waiting.begin(draft, timeout, now=now, loop=loop)


def read_wait(request: Request) -> str:
    """What to wait for, empty for nothing. Raises `InvalidParameterError`, also for what goes only with another."""
    wait = request.parameter("wait")
    if wait not in ("", "reply", "confirm"):
        raise InvalidParameterError(f"wait {wait[:80]!a} is not among reply, confirm")
    if request.parameter("count") and wait != "confirm":
        raise InvalidParameterError("count goes with wait=confirm")
    if request.parameter("timeout") and not wait:
        raise InvalidParameterError("timeout goes with wait=reply or wait=confirm")
    return wait


def _read_timeout(text: str) -> float:
    timeout = parse_duration(text) if text else 5.0
    if not 0 < timeout <= limits.WAIT_SECONDS:
        raise InvalidParameterError(f"timeout {text!a} is out of range: more than 0 and at most 60s")
    return timeout


def _read_count(text: str) -> int:
    return parse_whole(text, what="count", least=1, most=MOST_CONFIRMATIONS) if text else 1


class WaitingPublisher:
    """A publisher that waits for what others make of its event.

    publish ─▶ stored ─▶ answered            200
                 │  └──▶ time is up          504, with the event's headers: it is stored
                 └─────▶ the publisher left

    What others make of it may be known before it is known to be stored; it is told when that is.
    """

    def __init__(self, engine: Engine, responder: Responder) -> None:
        self.engine = engine
        self.responder = responder
        self.receipt: Receipt | None = None
        self._early: Callable[[], None] | None = None
        self._give_up: list[Callable[[], object]] = []

    def begin(self, draft: Draft, timeout: float, *, now: int, loop: AbstractEventLoop) -> None:
        """Publish *draft*, and wait for *timeout* seconds from when it is stored. Raises what `Engine.publish` does."""
        self.responder.on_lost = self.stop
        self._start_timer = partial(loop.call_later, timeout, self.responder.run, self._expire, timeout)
        try:
            self.prepare(draft)
            self.engine.publish([draft], self, now=now)
        except Exception:
            self.stop()
            raise

    def prepare(self, draft: Draft) -> None:
        """What is needed before *draft* is published; it isn't kept, for many may wait long."""

    def placed(self, receipt: Receipt) -> None:
        """What is needed once it is stored."""

    def shortfall(self) -> str:
        """What was waited for in vain."""
        return ""

    def when_stopped(self, call: Callable[[], object]) -> None:
        self._give_up.append(call)

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self.responder.run(self._stored, outcomes)

    def _stored(self, outcomes: Sequence[Outcome]) -> None:
        (self.receipt,) = (outcome for outcome in outcomes if isinstance(outcome, Receipt))
        if self._early:
            self._early()
        else:
            self.when_stopped(self._start_timer().cancel)
            self.placed(self.receipt)

    def failed(self, error: BusError) -> None:
        self.stop()
        self.responder.fail(error)

    def _expire(self, timeout: float) -> None:
        self.failed(TimedOutError(f"{self.shortfall()} within {timeout:g}s; the event is stored", receipt=self.receipt))

    def answer(self, body: bytes) -> None:
        """Answer with JSON and the event's headers."""
        self._when_stored(partial(self._answer, body))

    def refuse(self, error: BusError) -> None:
        """Answer with *error*, which is somebody's answer to the event."""
        self._when_stored(partial(self.failed, error))

    def _when_stored(self, call: Callable[[], None]) -> None:
        if self.receipt:
            call()
        else:
            self._early = self._early or call

    def _answer(self, body: bytes) -> None:
        self.stop()
        headers = receipt_headers(self.receipt) if self.receipt else {}
        about = {"Content-Type": JSON, **headers}
        self.responder.respond(200, format_headers(about), body)

    def stop(self) -> None:
        """Wait no longer."""
        give_up, self._give_up = self._give_up, []
        for call in give_up:
            call()


class ReplyWaiting(WaitingPublisher):
    """Waits for the first reply in the draft's inbox, which was made for the purpose."""

    def prepare(self, draft: Draft) -> None:
        inbox = draft.response_subject or ""
        self.when_stopped(self.engine.await_reply(inbox, partial(self.responder.run, self._replied)))

    def _replied(self, payload: bytes, error: str) -> None:
        if error:
            self.refuse(ServiceError(error))
        else:
            self.answer(payload)

    def shortfall(self) -> str:
        return "no reply"


class ConfirmWaiting(WaitingPublisher):
    """Waits until enough distinct consumers have acknowledged."""

    def __init__(self, engine: Engine, responder: Responder, count: int) -> None:
        super().__init__(engine, responder)
        self._count = count
        self._consumers: Sequence[str] = ()

    def prepare(self, draft: Draft) -> None:
        namespace, _ = parse_subject(draft.subject or "")
        self._confirmations = self.engine.await_confirmations(namespace, partial(self.responder.run, self._confirmed))
        self.when_stopped(self._confirmations.stop)

    def placed(self, receipt: Receipt) -> None:
        self._confirmations.stored(receipt.index)

    def _confirmed(self, consumers: Sequence[str]) -> None:
        self._consumers = consumers
        if len(consumers) >= self._count:
            self.answer(msgspec.json.encode({"consumers": list(consumers)}))

    def shortfall(self) -> str:
        return f"{len(self._consumers)} of {self._count} confirmations"
