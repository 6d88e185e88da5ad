"""Messages that are asked for in portions, as a consumer that is shared delivers them.

     ask ──▶ deliveries, heartbeats ──▶ all have come, or why there are no more (404, 408, 409, silence)

A pull vanishes with the leader of its consumer; that is noticed by heartbeats that don't come. Deliveries bear the
subject they were published to, so what asks has a subscription of its own, and one pull at a time.
Source: NATS ADR-13, "Pull Subscribe internals", and ADR-37, "JetStream Simplification".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from bus.nats.configs import NANOSECONDS
from bus.nats.delivery import Delivery, delivery
from bus.nats.errors import NatsError, NoRespondersError, StatusError
from bus.nats.message import Message
from bus.nats.requests import Request, Requests

MISSED_HEARTBEATS = 3
HEARTBEAT = 100

Heard = Callable[[Delivery | NatsError], None]
"""Told each delivery; an error ends a pull."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions:
    """How much to ask for: *batch* messages and *max_bytes* at most, for *expires* seconds.

    The consumer says every *heartbeat* seconds that it is there; 0 for a pull that doesn't wait (*expires* 0).
    """

    batch: int = 1
    max_bytes: int = 0
    expires: float = 30.0
    heartbeat: float = 1.0
    group: str = ""

    def encode(self) -> bytes:
        """The request."""
        fields: dict[str, int | str | bool] = {
            "batch": self.batch,
            "max_bytes": self.max_bytes,
            "expires": round(self.expires * NANOSECONDS),
            "idle_heartbeat": round(self.heartbeat * NANOSECONDS) if self.expires else 0,
            "no_wait": not self.expires,
            "group": self.group,
        }
        return msgspec.json.encode({name: value for name, value in fields.items() if value})

    @property
    def silence(self) -> float:
        """Seconds without a word after which nobody serves it any more."""
        return MISSED_HEARTBEATS * self.heartbeat if self.expires and self.heartbeat else self.expires + 5


class Puller:
    """Asks a consumer for messages, one pull at a time.

    A pull ends when all have come, or by the error that is told. `StatusError` 404 and 408: there are no more for now;
    409: as its description says. `NoAnswerError`: its consumer fell silent. Others are as of `Requests.send`.
    """

    def __init__(self, requests: Requests, subject: str, heard: Heard) -> None:
        self.left = 0
        self._subject = subject
        self._requests = requests
        self._heard = heard
        self._pulls = 0
        self._pull: Request | None = None
        self._prefix = f"{requests.new_inbox()}."
        self._subscription = requests.cluster.subscribe(f"{self._prefix}*", self._took)

    @property
    def waiting(self) -> bool:
        """Whether a pull is under way, which has `left` messages to bring."""
        return self._pull is not None

    def ask(self, options: PullOptions) -> None:
        """Begin a pull in place of the one that is under way, of which more may come nevertheless."""
        self.cancel()
        self._pulls += 1
        self.left = options.batch
        inbox = f"{self._prefix}{self._pulls}"
        payload, silence = options.encode(), options.silence
        self._pull = self._requests.send(self._subject, payload, self._failed, seconds=silence, many=True, inbox=inbox)

    def cancel(self) -> None:
        """Wait for this pull no more; what is on its way is told nevertheless."""
        pull, self._pull = self._pull, None
        if pull is not None:
            self._requests.end(pull)

    def close(self) -> None:
        """Tell no more; what is on its way is delivered to others after its ack wait."""
        self.cancel()
        self._requests.cluster.unsubscribe(self._subscription)

    def _took(self, message: Message) -> None:
        if message.reply.startswith("$JS.ACK."):
            self._delivered(message)
        elif self._pull is not None and message.subject == self._pull.inbox:
            self._told(message, self._pull)

    def _delivered(self, message: Message) -> None:
        self.left -= 1
        if self.left <= 0:
            self.cancel()
        elif self._pull is not None:
            self._requests.extend(self._pull)
        self._heard(delivery(message))

    def _told(self, message: Message, pull: Request) -> None:
        if message.status == HEARTBEAT:
            self._requests.extend(pull)
            return
        self.cancel()
        nobody = message.status == 503
        error = StatusError(self._subject, message.status, message.description)
        self._heard(NoRespondersError(self._subject) if nobody else error)

    def _failed(self, answer: Message | NatsError) -> None:
        self._pull = None
        if isinstance(answer, NatsError):
            self._heard(answer)
