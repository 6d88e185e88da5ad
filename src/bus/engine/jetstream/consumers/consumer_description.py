"""What there is to say of a durable consumer: how far it is at all servers, and who is connected at this one."""

from __future__ import annotations

from asyncio import AbstractEventLoop

from bus.consumer import ConsumerDescription
from bus.engine.consumer.delivery import IN_FLIGHT
from bus.engine.consumer.delivery_listing import WallClock
from bus.engine.jetstream.consumers.consumer_record import ConsumerRecord
from bus.engine.jetstream.consumers.leased_consumer import LeasedConsumer
from bus.nats import ConsumerInfo


def describe_consumer(
    record: ConsumerRecord,
    info: ConsumerInfo | None,
    bound: LeasedConsumer | None,
    *,
    dead: int,
    why: str,
    loop: AbstractEventLoop,
) -> ConsumerDescription:
    """All there is to say; without *info* as far as it is known here."""
    consumer = bound.consumer if bound else None
    members = consumer.subscriptions if consumer else []
    return ConsumerDescription(
        name=record.name,
        namespace=record.namespace,
        patterns=record.patterns,
        redelivery=record.terms.written,
        redelivery_count=record.redelivery_count,
        order=None,
        next_index=max(info.delivered.stream_seq + 1, record.start) if info else record.start,
        behind=info.num_pending if info else 0,
        counting=info is None,
        pending=info.num_ack_pending if info else len(consumer.pending) if consumer else 0,
        in_flight=sum(member.in_flight for member in members),
        dead=dead,
        connections=len(members),
        why=why,
        paused=record.paused,
        delivered=consumer.delivered if consumer else 0,
        redelivered=consumer.redelivered if consumer else 0,
        oldest_in_flight=_oldest_in_flight(bound, loop) if bound else None,
    )


def _oldest_in_flight(bound: LeasedConsumer, loop: AbstractEventLoop) -> str | None:
    since = [found.since for found in bound.consumer.pending if found.state is IN_FLIGHT]
    return WallClock.now(loop).shown_to_the_second(min(since)) if since else None
