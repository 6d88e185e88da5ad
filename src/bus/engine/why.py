"""Why nothing is being delivered to a consumer: one line of truth for whoever is on call."""

from __future__ import annotations

from bus.engine.consumer import Consumer
from bus.engine.pending import Delivery, State
from bus.units import format_duration

NAMED = 3
"""Events that are named by id; of more only the number is given."""


def why(consumer: Consumer, *, now: float) -> str:
    """The reason, looked for from the subscriber towards the log. *now* is the loop's time in seconds."""
    if not consumer.members:
        return "no connection"
    if all(not member.sink.writable for member in consumer.members):
        return "slow socket: no connection reads what it was sent"
    deliveries = list(consumer.pending)
    if all(consumer.pending.in_flight(member.consumer_id) >= member.prefetch for member in consumer.members):
        return _full([found for found in deliveries if found.state is State.IN_FLIGHT], now)
    if consumer.is_full:
        return f"{len(deliveries)} events are delayed or held behind their keys: no more are taken on"
    if consumer.cursor < consumer.namespace.next or any(found.state is State.READY for found in deliveries):
        return "delivering"
    return _waiting(deliveries, now)


def _full(flying: list[Delivery], now: float) -> str:
    flying.sort(key=lambda found: found.since)
    names = ", ".join(found.event_id for found in flying[:NAMED])
    more = f" and {len(flying) - NAMED} more" if len(flying) > NAMED else ""
    return f"window full since {_span(now - flying[0].since)} by {names}{more}"


def _waiting(deliveries: list[Delivery], now: float) -> str:
    delayed = [found.due for found in deliveries if found.state is State.DELAYED]
    if delayed and len(delayed) == len(deliveries):
        return f"all nacked: {len(delayed)} delayed, the next until {_span(min(delayed) - now)} from now"
    if deliveries:
        return f"caught up, {len(deliveries)} not settled yet"
    return "caught up"


def _span(seconds: float) -> str:
    return format_duration(max(round(seconds, 3), 0))
