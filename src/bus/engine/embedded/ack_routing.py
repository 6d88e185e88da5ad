"""Acknowledgements and replies: from the id a consumer names to the delivery, and on to whoever waits.

PUT ─▶ consumer id ─▶ member ─▶ Pending ─┬▶ confirmations (a publisher waits)
         │                               └▶ reply to the event's inbox (a requester waits)
         └▶ plain stream: nothing is pending, so it only confirms
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import msgspec

from bus.engine.base import Acknowledge, Action, Settled, Subscription
from bus.engine.consumer.subscription import ConsumerSubscription, Settlement
from bus.engine.embedded.inboxes import Inboxes
from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import find
from bus.errors import BusError, InvalidParameterError, UnknownConsumerError, UnknownEventError
from bus.event import Draft
from bus.frame import read_frame
from bus.subject import INBOX_NAMESPACE

ENDED_REMEMBERED = 4096
"""Plain streams that have ended whose consumer ids still count for confirmations."""


Known = tuple[str, ConsumerSubscription | None]
"""The namespace of a subscription, and the member it is unless it is a plain one."""


class AckRouter:
    """The subscriptions of a server by consumer id, and what they say of events."""

    def __init__(self, namespaces: Mapping[str, Namespace], inboxes: Inboxes) -> None:
        self._namespaces = namespaces
        self._inboxes = inboxes
        self._open: dict[str, Known] = {}
        self._ended: dict[str, Known] = {}

    def add(self, subscription: Subscription) -> None:
        """Know a subscription by its consumer id."""
        acknowledges = subscription if isinstance(subscription, ConsumerSubscription) else None
        self._open[subscription.consumer_id] = subscription.namespace, acknowledges

    def forget(self, consumer_id: str) -> None:
        """The stream is over; what a plain one delivered last may yet be confirmed."""
        known = self._open.pop(consumer_id, None)
        if known and known[1] is None:
            self._ended[consumer_id] = known
            if len(self._ended) > ENDED_REMEMBERED:
                del self._ended[next(iter(self._ended))]

    def settle(self, ack: Acknowledge, settled: Settled) -> None:
        """Carry out *ack* for each of its events, as `Engine.acknowledge` says."""
        known = self._open.get(ack.consumer_id) or self._ended.get(ack.consumer_id)
        if known is None:
            raise UnknownConsumerError(
                f"consumer {ack.consumer_id} doesn't exist: its stream has ended, or never began"
            )
        name, subscription = known
        if name == INBOX_NAMESPACE:
            settled(None)
            return
        namespace = self._namespaces[name]
        inbox = self._inbox_for(namespace, ack) if ack.reply is not None else ""
        done = subscription.consumer.settle(subscription, ack) if subscription else _confirm(namespace, ack)
        namespace.confirmations.add(done.acknowledged, (subscription and subscription.consumer.name) or ack.consumer_id)
        refusal = _summary(done.refused, len(ack.event_ids)) if done.refused else None
        if inbox and ack.reply is not None and not refusal:
            self._reply(inbox, ack.reply)
        if subscription and done.given_up:
            subscription.consumer.give_up(done.given_up, lambda error: settled(refusal or error))
        else:
            settled(refusal)

    # -- replies

    def _inbox_for(self, namespace: Namespace, ack: Acknowledge) -> str:
        """Where the reply goes. Found before anything is settled, for it may be refused."""
        if len(ack.event_ids) > 1:
            raise InvalidParameterError("a reply answers one event: name one event_id")
        inbox = _inbox_of(namespace, _find(namespace, ack.event_ids[0]))
        if not inbox:
            raise InvalidParameterError("the event asks for no reply: acknowledge it without a body")
        return inbox

    def refuse_request(self, namespace: Namespace, index: int, reason: str) -> None:
        """If the event at *index* asks for a reply, let the requester know that there will be none."""
        if inbox := _inbox_of(namespace, index):
            self._reply(inbox, msgspec.Raw(msgspec.json.encode(reason)), error=reason)

    def _reply(self, inbox: str, payload: msgspec.Raw, *, error: str = "") -> None:
        self._inboxes.publish(Draft(subject=inbox, payload=payload), now=time.time_ns(), error=error)

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        return f"<AckRouter for {len(self._open)} subscriptions>"


def _confirm(namespace: Namespace, ack: Acknowledge) -> Settlement:
    """What a plain stream says of events: they have to exist, and an ack confirms them."""
    done = Settlement([], [], [])
    for event_id in ack.event_ids:
        try:
            index = _find(namespace, event_id)
        except UnknownEventError as error:
            done.refused.append(error)
        else:
            done.acknowledged.extend([index] if ack.action is Action.ACK else [])
    return done


def _find(namespace: Namespace, event_id: str) -> int:
    index = find(namespace, event_id)
    if index is None:
        raise UnknownEventError(f"event {event_id} doesn't exist in namespace {namespace.name}")
    return index


def _inbox_of(namespace: Namespace, index: int) -> str:
    frame = namespace.frame(index)
    return read_frame(frame).response_subject if frame else ""


def _summary(refused: Sequence[BusError], asked: int) -> BusError:
    """One error for several events: the first, and how many fared alike."""
    first = refused[0]
    if asked == 1:
        return first
    return type(first)(f"{first.message} ({len(refused)} of {asked} events refused, the others are settled)")
