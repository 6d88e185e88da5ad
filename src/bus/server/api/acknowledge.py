"""Acknowledging: the PUT side."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Final

from msgspec import Raw

from bus.drafts import decode_json
from bus.engine.base import Acknowledge, Action, Engine
from bus.errors import BusError, InvalidParameterError
from bus.server.api.permits import Permits
from bus.server.http.query import read_id
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.units import parse_duration

MOST_EVENTS: Final = 256
MOST_DELAY: Final = 7 * 86400.0
LONGEST_REASON: Final = 1000

USUAL: Final = re.compile(rb"consumer_id=([A-Za-z0-9_-]{1,128})&event_id=([A-Za-z0-9_-]{1,128})")
"""The query of most acknowledgements: one event, and no more than whose it is."""


def acknowledge(engine: Engine, permits: Permits, request: Request, responder: Responder) -> None:
    """Carry out what the request says, as far as *permits* allow, and answer.

    Raises `InvalidParameterError`, or what `Permits.check_acknowledge` and `Engine.acknowledge` do.
    """
    ack = read_acknowledge(request)
    permits.check_acknowledge(request, responder, ack)
    engine.acknowledge(ack, partial(responder.run, _answer, responder))


def _answer(responder: Responder, error: BusError | None) -> None:
    if error:
        responder.fail(error)
    else:
        responder.respond(202)


def read_acknowledge(request: Request) -> Acknowledge:
    """What the request says of which deliveries. Raises `InvalidParameterError`."""
    if request.usual:
        consumer_id, event_id = request.usual
        return Acknowledge(
            consumer_id=consumer_id.decode(), event_ids=(event_id.decode(),), reply=_read_reply(request.body)
        )
    return _read_parameters(request)


def _read_reply(body: bytes) -> Raw | None:
    return decode_json(body) if body and not body.isspace() else None


def _read_parameters(request: Request) -> Acknowledge:
    """What the request says, in whatever order and of whatever number its parameters are."""
    consumer_id = read_id(request.parameter("consumer_id"), "consumer_id")
    event_ids = _read_events(request.query.get("event_id", ()))
    action, reply = _read_action(request.parameter("action")), _read_reply(request.body)
    if reply is not None and action is not Action.ACK:
        raise InvalidParameterError(f"a reply acknowledges its event: send a body only without action={action}")
    return Acknowledge(
        consumer_id=consumer_id,
        event_ids=event_ids,
        action=action,
        delay=_read_delay(request.parameter("delay"), action),
        reason=_read_reason(request.parameter("reason"), action),
        reply=reply,
    )


def _read_events(values: Sequence[str]) -> tuple[str, ...]:
    ids = [part for value in values for part in value.split(",") if part]
    if not ids:
        raise InvalidParameterError("event_id is required")
    if len(ids) > MOST_EVENTS:
        raise InvalidParameterError(f"{len(ids)} events in one request: {MOST_EVENTS} is the most")
    return tuple([read_id(text, "event_id") for text in ids])


def _read_action(text: str) -> Action:
    try:
        return Action(text or "ack")
    except ValueError:
        raise InvalidParameterError(f"action {text[:80]!a} is not among {', '.join(Action)}") from None


def _read_delay(text: str, action: Action) -> float | None:
    if not text:
        return None
    if action not in (Action.NACK, Action.EXTEND):
        raise InvalidParameterError(f"delay goes with action=nack or action=extend, not with {action}")
    delay = parse_duration(text)
    if delay > MOST_DELAY:
        raise InvalidParameterError(f"delay {text!a} is out of range: at most 7d")
    return delay


def _read_reason(text: str, action: Action) -> str:
    if not text:
        return ""
    if action not in (Action.NACK, Action.REJECT):
        raise InvalidParameterError(f"reason goes with action=nack or action=reject, not with {action}")
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:LONGEST_REASON]
