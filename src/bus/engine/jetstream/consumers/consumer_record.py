"""What is written of a durable consumer and its deliveries, for all Bus servers to read."""

from __future__ import annotations

import secrets

import msgspec

from bus.engine.administration import DeadLetter
from bus.engine.consumer.delivery import SINGLE, UNLOST
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.terms import Terms
from bus.engine.jetstream.consumers.leases import LEASE_SECONDS, Lease
from bus.engine.jetstream.naming import Naming
from bus.nats import NANOSECONDS, ConsumerConfig
from bus.patterns import contains
from bus.subject import Filter

MOST_PENDING = 10_000
"""Events that a consumer may leave unsettled, at all servers together, before it is given no new ones."""


class ConsumerRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A durable consumer, which begins at index ``start``.

    ``token`` tells it from others that had or will have its name, ``moves`` counts how often it was moved.

    ``redriven`` says that events were sent back to it, and that there is a consumer of JetStream that hands them out.
    """

    name: str
    namespace: str
    patterns: list[str]
    redelivery: tuple[float, ...]
    redelivery_count: int
    start: int
    token: str
    given: list[str] = []
    paused: bool = False
    expires: float | None = None
    redriven: bool = False
    moves: int = 0

    @classmethod
    def of(cls, name: str, terms: Terms, *, start: int) -> ConsumerRecord:
        """A new consumer of these terms."""
        record = cls(name, terms.filter.namespace, [], (), 0, max(start, 1), secrets.token_hex(6))
        return record.holding(terms)

    def holding(self, terms: Terms) -> ConsumerRecord:
        """The consumer with other *terms*."""
        return msgspec.structs.replace(
            self,
            patterns=[pattern.text for pattern in terms.filter.patterns],
            redelivery=terms.redelivery,
            redelivery_count=terms.redelivery_count,
            given=sorted(terms.given),
            paused=terms.paused,
            expires=terms.expires,
        )

    def moved(self, start: int) -> ConsumerRecord:
        """The consumer as it begins elsewhere, with nothing pending."""
        return msgspec.structs.replace(self, start=max(start, 1), moves=self.moves + 1)

    @property
    def terms(self) -> Terms:
        """Its terms."""
        return Terms(
            filter=Filter.parse(self.patterns),
            redelivery=self.redelivery,
            redelivery_count=self.redelivery_count,
            given=frozenset(self.given),
            paused=self.paused,
            expires=self.expires,
        )

    @property
    def consumer(self) -> str:
        """What the consumer of JetStream is called that hands out its events."""
        return f"{self.name}={self.token}={self.moves}"

    @property
    def redrive_consumer(self) -> str:
        """What the consumer of JetStream is called that hands out what is sent back to it."""
        return f"{self.name}={self.token}"

    def config(self, naming: Naming) -> ConsumerConfig:
        """The consumer of JetStream that hands out its events."""
        widest = [
            one for one in self.patterns if not any(contains(other, one) for other in self.patterns if other != one)
        ]
        return ConsumerConfig(
            durable_name=self.consumer,
            deliver_policy="by_start_sequence",
            opt_start_seq=self.start,
            filter_subjects=tuple(naming.subject(pattern) for pattern in widest),
            ack_policy="explicit",
            ack_wait=round(LEASE_SECONDS * NANOSECONDS),
            max_deliver=-1,
            max_ack_pending=MOST_PENDING,
        )

    def redrive_config(self, naming: Naming) -> ConsumerConfig:
        """The consumer of JetStream that hands out what is sent back to it."""
        return ConsumerConfig(
            durable_name=self.redrive_consumer,
            filter_subject=naming.redrive(self.token),
            ack_policy="explicit",
            ack_wait=round(LEASE_SECONDS * NANOSECONDS),
            max_deliver=-1,
            max_ack_pending=MOST_PENDING,
        )


class DeliveryRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a delivery stood after JetStream had delivered the message *source* so many times."""

    source: str
    delivered: int
    kept: KeptDelivery


def is_told_by(lease: Lease, kept: KeptDelivery) -> bool:
    """Whether JetStream's own count says all there is to know of *kept*, so that no record is needed."""
    is_plain = not kept.alone and (kept.loss is UNLOST or (kept.loss is SINGLE and not kept.worker))
    return is_plain and kept.attempts == lease.delivered


def take_up(lease: Lease, record: DeliveryRecord | None) -> KeptDelivery:
    """How a delivery goes on that came back as *lease*, after what *record* says of it.

    What JetStream delivered since then was lost with its server, and counts.
    """
    before = lease.delivered - 1
    if record is None or record.source != lease.source or record.delivered > before:
        return KeptDelivery(lease.index, before, loss=SINGLE)
    unknown = before - record.delivered
    if unknown:
        return KeptDelivery(lease.index, record.kept.attempts + unknown, loss=SINGLE)
    kept = record.kept
    return kept if kept.loss else KeptDelivery(lease.index, kept.attempts, loss=SINGLE, alone=kept.alone)


class DeadRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that was given up. ``source`` is the message that it came with."""

    event: DeadLetter
    source: str
