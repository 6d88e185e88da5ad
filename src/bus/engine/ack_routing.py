"""Acknowledgements and replies: from the id a consumer names to the delivery, and on to whoever waits.

PUT ─▶ consumer id ─▶ member ─▶ Pending ─┬▶ confirmations (a publisher waits)
         │                               └▶ reply to the event's inbox (a requester waits)
         └▶ plain stream: nothing is pending, so it only confirms what its patterns take
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from bus.engine.base import Acknowledge, Action, Settled, Subscription, unknown_consumer_id
from bus.engine.consumer.settlement import Settlement
from bus.engine.consumer.subscription import ConsumerSubscription
from bus.engine.inboxes import Inboxes
from bus.engine.namespace import Namespace
from bus.engine.reading.plain_subscription import PlainSubscription
from bus.engine.reading.start_position import find
from bus.errors import BusError, InvalidParameterError, UnknownEventError
from bus.frame import inbox_of, read_frame
from bus.subject import INBOX_NAMESPACE, Filter

ENDED_REMEMBERED: Final = 4096
"""Plain streams that have ended whose consumer ids still count for confirmations."""


class Known(NamedTuple):
    """A subscription: its namespace and patterns, and the member it is, or the plain one, as long as it is open."""

    namespace: str
    filter: Filter
    member: ConsumerSubscription | None
    plain: PlainSubscription | None = None


class AckRouter:
    """The subscriptions of a server by consumer id, and what they say of events.

    *confirmed* is told which events of a namespace a consumer has acknowledged.
    """

    def __init__(
        self,
        namespaces: Mapping[str, Namespace],
        inboxes: Inboxes,
        *,
        confirmed: Callable[[str, Sequence[int], str], None] | None = None,
    ) -> None:
        self._confirmed = confirmed
        self._namespaces = namespaces
        self._inboxes = inboxes
        self._open: dict[str, Known] = {}
        self._ended: dict[str, Known] = {}

    def add(self, subscription: Subscription, filter: Filter) -> None:
        """Know a subscription to *filter* by its consumer id."""
        member = subscription if isinstance(subscription, ConsumerSubscription) else None
        plain = subscription if isinstance(subscription, PlainSubscription) else None
        self._open[subscription.consumer_id] = Known(subscription.namespace, filter, member, plain)

    def forget(self, consumer_id: str) -> None:
        """The stream is over; what a plain one delivered last may yet be confirmed."""
        known = self._open.pop(consumer_id, None)
        if known and known.member is None:
            self._ended[consumer_id] = known._replace(plain=None)
            if len(self._ended) > ENDED_REMEMBERED:
                del self._ended[next(iter(self._ended))]

    def end_namespace(self, name: str) -> None:
        """End the plain streams of the namespace *name*, and know nothing of those that ended before."""
        for known in list(self._open.values()):
            if known.plain and known.namespace == name:
                known.plain.end("deleted")
        self._ended = {one: known for one, known in self._ended.items() if known.namespace != name}

    def reads(self, ack: Acknowledge) -> str:
        """The namespace whose events `settle` looks at for *ack*, empty if it looks at none or knows no such consumer.

        What a consumer has pending is known without a look.
        """
        known = self._open.get(ack.consumer_id) or self._ended.get(ack.consumer_id)
        if known is None or known.namespace == INBOX_NAMESPACE:
            return ""
        member = known.member
        if member and ack.reply is None and all(member.pending_index(one) is not None for one in ack.event_ids):
            return ""
        return known.namespace

    def knows(self, consumer_id: str) -> bool:
        """Whether a subscription has this id, or had it."""
        return consumer_id in self._open or consumer_id in self._ended

    def settle(self, ack: Acknowledge, settled: Settled) -> None:
        """Carry out *ack* for each of its events, as `Engine.acknowledge` says."""
        known = self._open.get(ack.consumer_id) or self._ended.get(ack.consumer_id)
        if known is None:
            raise unknown_consumer_id(ack.consumer_id)
        if known.namespace == INBOX_NAMESPACE:
            settled(None)
            return
        name, filter, subscription, _ = known
        namespace = self._namespaces[name]
        inbox = _inbox_for(namespace, known, ack) if ack.reply is not None else ""
        done = subscription.consumer.settle(subscription, ack) if subscription else _confirm(namespace, filter, ack)
        consumer = (subscription and subscription.consumer.name) or ack.consumer_id
        namespace.confirmations.add(done.acknowledged, consumer)
        if self._confirmed and done.acknowledged:
            self._confirmed(name, done.acknowledged, consumer)
        refusal = _summary(done.refused, len(ack.event_ids)) if done.refused else None
        if inbox and ack.reply is not None and not refusal:
            self._inboxes.reply(inbox, bytes(ack.reply))
        if subscription:
            then = (lambda error: settled(refusal or error)) if refusal else settled
            subscription.consumer.conclude(done, then)
        else:
            settled(refusal)

    # -- replies

    def refuse_request(self, namespace: Namespace, index: int, reason: str) -> None:
        """If the event at *index* asks for a reply, let the requester know that there will be none."""
        if inbox := _inbox_of(namespace, index):
            self._inboxes.reply(inbox, msgspec.json.encode(reason), error=reason)

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        return f"<AckRouter for {len(self._open)} subscriptions>"


def _inbox_for(namespace: Namespace, known: Known, ack: Acknowledge) -> str:
    """Where the reply goes. Found before anything is settled, for it may be refused."""
    if len(ack.event_ids) > 1:
        raise InvalidParameterError("a reply answers one event: name one event_id")
    event_id = ack.event_ids[0]
    pending = known.member and known.member.pending_index(event_id)
    inbox = _inbox_of(namespace, pending or _find(namespace, known.filter, event_id))
    if not inbox:
        raise InvalidParameterError("the event asks for no reply: acknowledge it without a body")
    return inbox


def _confirm(namespace: Namespace, filter: Filter, ack: Acknowledge) -> Settlement:
    """What a plain stream says of events: they have to be among those it reads, and an ack confirms them."""
    done = Settlement()
    for event_id in ack.event_ids:
        try:
            index = _find(namespace, filter, event_id)
        except UnknownEventError as error:
            done.refused.append(error)
        else:
            done.acknowledged.extend([index] if ack.action is Action.ACK else [])
    return done


def _find(namespace: Namespace, filter: Filter, event_id: str) -> int:
    """The index of an event that *filter* takes. Raises `UnknownEventError`, whether it is another's or none."""
    index = find(namespace, event_id)
    frame = None if index is None else namespace.frame(index)
    if index is None or (frame and not filter.matches(read_frame(frame).subject.encode())):
        raise UnknownEventError(f"event {event_id} doesn't exist in namespace {namespace.name}, or isn't for {filter}")
    return index


def _inbox_of(namespace: Namespace, index: int) -> str:
    frame = namespace.frame(index)
    return inbox_of(frame) if frame else ""


def _summary(refused: Sequence[BusError], asked: int) -> BusError:
    """One error for several events: the first, and how many fared alike."""
    first = refused[0]
    if asked == 1:
        return first
    return type(first)(f"{first.message} ({len(refused)} of {asked} events refused, the others are settled)")
