"""Why nothing is being delivered to a consumer: one line of truth for whoever is on call."""

from __future__ import annotations

from collections.abc import Sequence

from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import Delivery, DeliveryState
from bus.engine.consumer.subscription import ConsumerSubscription
from bus.units import format_duration

NAMED = 3
"""Events that are named by id; of more only the number is given."""

PAUSED = "paused: nothing is handed out until it is resumed, {count} in flight"
NO_CONNECTION = "no connection"
SLOW = "slow socket: no connection reads what it was sent"
SILENT = "silent: {count} let a delivery time out and say nothing since; the last one got is {event}, {span} ago"
ALONE = "alone since {span}: {events}, in flight when a worker was lost, nothing goes beside it"
FULL = "window full since {span} by {events}"
TOO_MANY = "{count} events are delayed or held behind their keys: no more are taken on"
DELIVERING = "delivering"
AWAITED = "{count} wait for the worker that was lost in their last attempt, the next for {span}"
NACKED = "caught up, {count} nacked, the next due in {span}"
BUSY = "caught up, {count} in flight or held behind their keys"
CAUGHT_UP = "caught up"

ANSWERS = (PAUSED, NO_CONNECTION, SLOW, SILENT, ALONE, FULL, TOO_MANY, DELIVERING, AWAITED, NACKED, BUSY, CAUGHT_UP)
"""All there are, looked for in this order: from the subscriber towards the log."""


def why(consumer: Consumer, *, now: float) -> str:
    """The reason, as one of `ANSWERS`. *now* is the loop's time in seconds."""
    subscriptions = consumer.subscriptions
    if consumer.paused:
        return PAUSED.format(count=sum(subscription.in_flight for subscription in subscriptions))
    if not subscriptions:
        return NO_CONNECTION
    if all(not subscription.sink.writable for subscription in subscriptions):
        return SLOW
    deliveries = list(consumer.pending)
    heard = [subscription for subscription in subscriptions if not subscription.window.silent]
    if not heard:
        return _silent(subscriptions, deliveries, now)
    if all(subscription.window.alone or subscription.in_flight >= subscription.prefetch for subscription in heard):
        return _full([found for found in deliveries if found.state is DeliveryState.IN_FLIGHT], now)
    if consumer.is_full:
        return TOO_MANY.format(count=len(deliveries))
    if consumer.cursor < consumer.namespace.next or any(found.state is DeliveryState.READY for found in deliveries):
        return DELIVERING
    return _waiting(deliveries, now)


def _silent(subscriptions: Sequence[ConsumerSubscription], deliveries: Sequence[Delivery], now: float) -> str:
    count = "1 connection" if len(subscriptions) == 1 else f"{len(subscriptions)} connections"
    last = max((found for found in deliveries if found.owner.silent), key=lambda found: found.since, default=None)
    event, span = (last.event_id, _span(now - last.since)) if last else ("given up", "long")
    return SILENT.format(count=count, event=event, span=span)


def _full(flying: list[Delivery], now: float) -> str:
    flying.sort(key=lambda found: found.since)
    names = ", ".join(found.event_id for found in flying[:NAMED])
    more = f" and {len(flying) - NAMED} more" if len(flying) > NAMED else ""
    answer = ALONE if flying[0].owner.alone else FULL
    return answer.format(span=_span(now - flying[0].since), events=names + more)


def _waiting(deliveries: Sequence[Delivery], now: float) -> str:
    """Everything was read: what is left, and when that goes on by itself."""
    awaited = [found.due for found in deliveries if found.state is DeliveryState.AWAITED]
    delayed = [found.due for found in deliveries if found.state is DeliveryState.DELAYED]
    if awaited:
        return AWAITED.format(count=len(awaited), span=_span(min(awaited) - now))
    if delayed and len(delayed) == len(deliveries):
        return NACKED.format(count=len(delayed), span=_span(min(delayed) - now))
    return BUSY.format(count=len(deliveries)) if deliveries else CAUGHT_UP


def _span(seconds: float) -> str:
    return format_duration(max(round(seconds, 3 if seconds < 1 else 0), 0))
