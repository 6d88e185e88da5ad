"""What a consumer delivers, and what is said of it.

     $JS.ACK.<stream>.<consumer>.<attempt>.<stream seq>.<consumer seq>.<time>.<pending>                     9 tokens
     $JS.ACK.<domain>.<account>.<stream>.<consumer>.<attempt>.<stream seq>.<consumer seq>.<time>.<pending>…   11 on

stands in the reply of each delivery. Source: NATS ADR-15, "JetStream Subscribe Workflow".
"""

from __future__ import annotations

from typing import Final, NewType

from msgspec import Struct

from bus.nats.errors import ProtocolError
from bus.nats.message import Message, header

Settlement = NewType("Settlement", bytes)
ACK: Final = Settlement(b"+ACK")
EXTEND: Final = Settlement(b"+WPI")
"""It is worked on: its ack wait begins anew."""
REJECT: Final = Settlement(b"+TERM")
"""It is never delivered again."""


def nack(seconds: float = 0) -> Settlement:
    """Deliver it again, *seconds* from now."""
    return Settlement(b'-NAK {"delay": %d}' % round(seconds * 1e9) if seconds else b"-NAK")


class Delivery(Struct, frozen=True, gc=False):
    """A message of a stream as a consumer delivers it.

    *seq* is its place in the stream, *consumer_seq* counts what this consumer delivered, *attempt* how often it did so
    with this message.
    """

    subject: str
    reply: str
    headers: bytes
    payload: bytes
    attempt: int
    seq: int
    consumer_seq: int

    @property
    def time(self) -> int:
        """When it was stored, in nanoseconds since 1970."""
        return int(_numbers(self.reply)[3])

    @property
    def pending(self) -> int:
        """How many are yet to come."""
        return int(_numbers(self.reply)[4])

    def header(self, name: str) -> str | None:
        """The first value of one header."""
        return header(self.headers, name)


def delivery(message: Message) -> Delivery:
    """What *message* is as a delivery. Raises `ProtocolError` if it has another reply."""
    reply = message.reply
    try:
        attempt, seq, consumer_seq, _, _ = _numbers(reply)
        return Delivery(
            message.subject, reply, message.headers, message.payload, int(attempt), int(seq), int(consumer_seq)
        )
    except ValueError:
        raise ProtocolError(f"a delivery of {message.subject} came with the reply {reply!r}") from None


def _numbers(reply: str) -> list[str]:
    tokens = reply.split(".")
    return tokens[4:9] if len(tokens) == 9 else tokens[6:11]
