"""What Bus servers in front of one cluster tell each other, over subjects that nobody stores.

    reply to _bus_.x, published anywhere ─▶ every server ─▶ whoever waits for it or reads it
    acknowledged by a consumer of server A ─▶ server B, if a publisher waits there for confirmations
    PUT that reached server B ─▶ server A, whose consumer it names ─▶ what came of it

A server that isn't connected at that moment misses a reply, as a requester does whose server stops.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence

import msgspec

from bus.engine.base import Acknowledge, Action, Settled, unknown_consumer_id
from bus.engine.guard import as_bus_error
from bus.engine.jetstream.error_mapping import not_reached
from bus.engine.jetstream.naming import Naming
from bus.errors import BusError, error_class
from bus.event import Draft
from bus.nats import Client, DisconnectedError, Message, NatsError, NoRespondersError, Subscription

log = logging.getLogger("bus.engine")

FORWARD_SECONDS = 5.0

_NO_REPLY = msgspec.Raw()
"""Left out where it is the default: JSON has none that is empty."""


class _Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was published to an inbox at the server *origin*."""

    origin: str
    draft: Draft
    error: str = ""


class _Acknowledged(msgspec.Struct, frozen=True):
    origin: str
    consumer: str
    indexes: list[int]


class _Forwarded(msgspec.Struct, frozen=True, omit_defaults=True):
    """An acknowledgement for a consumer of another server; its ``reply`` is JSON, or empty for none."""

    consumer_id: str
    event_ids: tuple[str, ...]
    action: Action = Action.ACK
    delay: float | None = None
    reason: str = ""
    reply: msgspec.Raw = _NO_REPLY

    @classmethod
    def of(cls, ack: Acknowledge) -> _Forwarded:
        reply = _NO_REPLY if ack.reply is None else ack.reply
        return cls(ack.consumer_id, ack.event_ids, ack.action, ack.delay, ack.reason, reply)

    def acknowledge(self) -> Acknowledge:
        return Acknowledge(
            consumer_id=self.consumer_id,
            event_ids=self.event_ids,
            action=self.action,
            delay=self.delay,
            reason=self.reason,
            reply=self.reply if bytes(self.reply) else None,
        )


class _Settled(msgspec.Struct, frozen=True):
    """What came of an acknowledgement: the code and text of an error, if there was one."""

    code: str = ""
    message: str = ""


_encode = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_acknowledged = msgspec.json.Decoder(_Acknowledged).decode
_decode_forwarded = msgspec.json.Decoder(_Forwarded).decode
_decode_settled = msgspec.json.Decoder(_Settled).decode


class Peers:
    """The other Bus servers. *replied* gets what they publish to inboxes, *settle* what is for consumers here."""

    def __init__(
        self,
        client: Client,
        naming: Naming,
        *,
        replied: Callable[[Draft, str], None],
        settle: Callable[[Acknowledge, Settled], None],
    ) -> None:
        self._id = secrets.token_hex(8)
        self._client = client
        self._naming = naming
        self._replied = replied
        self._settle = settle
        self._consumers: dict[str, Subscription] = {}
        client.cluster.subscribe(naming.between_servers("reply"), self._heard_reply)

    # -- replies

    def tell_reply(self, draft: Draft, *, error: str = "") -> None:
        """Something was published to an inbox here."""
        self._tell(self._naming.between_servers("reply"), _encode(_Reply(self._id, draft, error)))

    def _heard_reply(self, message: Message) -> None:
        try:
            reply = _decode_reply(message.payload)
            if reply.origin != self._id:
                self._replied(reply.draft, reply.error)
        except Exception as error:
            log.warning("a reply from another server is lost: %s", as_bus_error(error, "taking a reply"))

    # -- confirmations

    def tell_acknowledged(self, namespace: str, indexes: Sequence[int], consumer: str) -> None:
        """A consumer here has acknowledged events."""
        subject = self._naming.between_servers("acknowledged", namespace)
        self._tell(subject, _encode(_Acknowledged(self._id, consumer, [*indexes])))

    def hear_acknowledged(self, namespace: str, told: Callable[[Sequence[int], str], None]) -> Subscription:
        """Tell *told* what consumers elsewhere acknowledge, until `ignore`."""

        def heard(message: Message) -> None:
            found = _decode_acknowledged(message.payload)
            if found.origin != self._id:
                told(found.indexes, found.consumer)

        return self._client.cluster.subscribe(self._naming.between_servers("acknowledged", namespace), heard)

    def ignore(self, subscription: Subscription) -> None:
        """Hear no more by *subscription*."""
        self._client.cluster.unsubscribe(subscription)

    # -- acknowledgements for consumers of other servers

    def add(self, consumer_id: str) -> None:
        """A subscription is here."""
        subject = self._naming.between_servers("consumer", consumer_id)
        self._consumers[consumer_id] = self._client.cluster.subscribe(subject, self._heard_acknowledge)

    def forget(self, consumer_id: str) -> None:
        """It is here no more."""
        if subscription := self._consumers.pop(consumer_id, None):
            self._client.cluster.unsubscribe(subscription)

    def forward(self, ack: Acknowledge, settled: Settled) -> None:
        """Have the server carry out *ack* that has its consumer."""

        def done(answer: Message | NatsError) -> None:
            settled(_told(answer, ack))

        subject = self._naming.between_servers("consumer", ack.consumer_id)
        self._client.requests.send(subject, _encode(_Forwarded.of(ack)), done, seconds=FORWARD_SECONDS)

    def _heard_acknowledge(self, message: Message) -> None:
        def settled(error: BusError | None) -> None:
            answer = _Settled(error.code, error.message) if error else _Settled()
            self._tell(message.reply, _encode(answer))

        try:
            self._settle(_decode_forwarded(message.payload).acknowledge(), settled)
        except Exception as error:
            settled(as_bus_error(error, "an acknowledgement from another server"))

    def _tell(self, subject: str, payload: bytes) -> None:
        try:
            self._client.cluster.publish(subject, payload)
        except DisconnectedError as error:
            log.warning("other servers aren't told: %s", error)


def _told(answer: Message | NatsError, ack: Acknowledge) -> BusError | None:
    """What *answer* says came of *ack*."""
    if isinstance(answer, NoRespondersError):
        return unknown_consumer_id(ack.consumer_id)
    if isinstance(answer, NatsError):
        return not_reached(answer, f"the server of consumer {ack.consumer_id} can't be asked")
    found = _decode_settled(answer.payload)
    return (error_class(found.code) or BusError)(found.message) if found.code else None
