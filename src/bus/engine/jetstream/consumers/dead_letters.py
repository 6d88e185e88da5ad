"""Dead letters: what becomes of an event that a durable consumer gave up.

    given up ─▶ letter in the namespace's stream ─▶ record ─▶ lease over
                    (once, by its message id)          │
                                                       ├─ redrive ─▶ queue ─▶ record gone
                                                       └─ drop ────────────▶ record gone

Whatever stops in between is done again: by whoever the event is delivered to next, whose letter is the same one.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import AbstractEventLoop
from collections.abc import Iterable

import msgspec

from bus.engine.administration import DeadLetter, Redriven
from bus.engine.base import Settled
from bus.engine.consumer.dead_event import DELETED, dead_event, write_letter
from bus.engine.consumer.delivery import GivenUp
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.guard import as_bus_error
from bus.engine.jetstream.consumers.consumer_record import ConsumerRecord, DeadRecord
from bus.engine.jetstream.consumers.leased_consumer import Cluster, LeasedConsumer
from bus.engine.jetstream.error_mapping import publish_error
from bus.engine.jetstream.message import MESSAGE_ID, encode_event
from bus.engine.jetstream.namespace import JetNamespace
from bus.errors import BusError, NotOwnerError
from bus.frame import read_frame
from bus.frame_fields import FrameFields
from bus.nats import ApiError, NatsError
from bus.nats.message import encode_headers

log = logging.getLogger("bus.engine")

RETRY_SECONDS = 5.0
"""How long an event waits that couldn't be given up."""

PATIENCE = 15.0
TRY_SECONDS = 2.0
PAUSE = 0.2


class DeadLetters:
    """The events that durable consumers gave up, as their records say."""

    def __init__(self, cluster: Cluster, loop: AbstractEventLoop) -> None:
        self._cluster = cluster
        self._loop = loop
        self._dead: dict[str, dict[int, DeadRecord]] = {}

    def heard(self, token: str, index: int, payload: bytes) -> None:
        """A record has come in."""
        dead = self._dead.setdefault(token, {})
        if payload:
            dead[index] = msgspec.json.decode(payload, type=DeadRecord)
        else:
            dead.pop(index, None)

    def forget(self, token: str) -> None:
        """The consumer is gone."""
        self._dead.pop(token, None)

    def of(self, record: ConsumerRecord) -> list[DeadLetter]:
        """What a consumer gave up, and nobody sent back or dropped."""
        return [dead.event for _, dead in sorted(self._dead.get(record.token, {}).items())]

    def count(self, record: ConsumerRecord) -> int:
        """How many these are."""
        return len(self._dead.get(record.token, ()))

    # -- giving up

    async def bury(self, durable: LeasedConsumer, gone: GivenUp, settled: Settled) -> None:
        """Store the letter of an event and list it; if that can't be done, it is pending again."""
        index = gone.delivery.index
        durable.burying.add(index)
        try:
            if durable.leases.is_lost(index):
                durable.leases.forget(index)
                raise NotOwnerError(f"event {gone.delivery.event_id} may be with another server by now")
            await self._bury(durable, gone)
        except Exception as error:
            found = as_bus_error(error, "a dead letter")
            settled(found if isinstance(error, NotOwnerError) else self._keep(durable, gone, found))
        else:
            durable.leases.give_up(index, settled)
        finally:
            durable.burying.discard(index)

    async def _bury(self, durable: LeasedConsumer, gone: GivenUp) -> None:
        delivery, namespace = gone.delivery, durable.namespace
        lease = durable.leases.get(delivery.index)
        source = lease.source if lease else ""
        frame = await namespace.bring_frame(delivery.index)
        if frame:
            event = read_frame(frame)
            dead = dead_event(delivery, event.subject, gone.reason)
            letter = await self._store(durable, event, dead, source)
            dead = msgspec.structs.replace(dead, letter=letter)
        else:
            reason = DELETED if delivery.index < namespace.first else gone.reason
            dead = dead_event(delivery, "", reason)
        await self._record(durable.record, DeadRecord(dead, source))

    async def _record(self, record: ConsumerRecord, dead: DeadRecord) -> None:
        subject = self._cluster.naming.record("dead", record.token, str(dead.event.index))
        await self._cluster.records.put(subject, msgspec.json.encode(dead))

    async def _store(self, durable: LeasedConsumer, event: FrameFields, dead: DeadLetter, source: str) -> int:
        """The index of the letter, which is stored once, whoever stores it."""
        letter = write_letter(durable.namespace.name, durable.name, event, dead)
        headers = encode_event(letter, more={MESSAGE_ID: f"dead.{durable.record.consumer}.{dead.index}.{source}"})
        return await self._publish(letter.subject.decode(), letter.payload, headers, durable.namespace)

    async def _publish(self, subject: str, payload: bytes, headers: bytes, namespace: JetNamespace) -> int:
        until = self._loop.time() + PATIENCE
        stored = self._cluster.naming.subject(subject)
        while True:
            try:
                return (await self._cluster.jetstream.store(stored, payload, headers=headers, seconds=TRY_SECONDS)).seq
            except NatsError as error:
                if isinstance(error, ApiError) or self._loop.time() >= until:
                    raise publish_error(error, namespace.name) from error
            await asyncio.sleep(PAUSE)

    def _keep(self, durable: LeasedConsumer, gone: GivenUp, error: BusError) -> BusError:
        """Its letter isn't stored: go back to before the last attempt, so that it is made once more."""
        delivery = gone.delivery
        log.error("consumer %s: the dead letter of event %d is not stored: %s", durable.name, delivery.index, error)
        kept = KeptDelivery(delivery.index, max(delivery.attempts - 1, 0))
        durable.restore(kept, delivery.event_id, delay=RETRY_SECONDS)
        return type(error)(
            f"event {delivery.event_id} is delivered again, for its dead letter can't be stored: {error}"
        )

    # -- what becomes of them

    async def redrive(self, record: ConsumerRecord, namespace: JetNamespace, indexes: Iterable[int] | None) -> Redriven:
        """Send events back that were given up, or their letters where they are gone. Raises a `BusError`."""
        gone, sent = [], 0
        for dead in self._choose(record, indexes):
            if index := await _left(namespace, dead.event):
                await self._send_back(record, dead, index)
                sent += 1
            else:
                gone.append(dead.event.index)
        return Redriven(sent, gone)

    async def _send_back(self, record: ConsumerRecord, dead: DeadRecord, index: int) -> None:
        message_id = f"{record.token}.{dead.event.index}.{dead.source}"
        subject = self._cluster.naming.redrive(record.token)
        try:
            await self._cluster.jetstream.store(
                subject, b"%d" % index, headers=encode_headers({MESSAGE_ID: message_id}), seconds=PATIENCE
            )
        except NatsError as error:
            raise publish_error(error, record.namespace) from error
        await self._drop(record, dead)

    async def drop(self, record: ConsumerRecord, indexes: Iterable[int] | None) -> int:
        """Forget events that were given up; returns how many. Raises `UnavailableError`."""
        chosen = self._choose(record, indexes)
        for dead in chosen:
            await self._drop(record, dead)
        return len(chosen)

    async def _drop(self, record: ConsumerRecord, dead: DeadRecord) -> None:
        subject = self._cluster.naming.record("dead", record.token, str(dead.event.index))
        await self._cluster.records.put(subject, b"")

    def _choose(self, record: ConsumerRecord, indexes: Iterable[int] | None) -> list[DeadRecord]:
        dead = self._dead.get(record.token, {})
        wanted = sorted(dead) if indexes is None else dict.fromkeys(indexes)
        return [dead[index] for index in wanted if index in dead]

    def __repr__(self) -> str:
        return f"<DeadLetters of {len(self._dead)} consumers>"


async def _left(namespace: JetNamespace, dead: DeadLetter) -> int:
    """The index of what there is to be delivered again, the event or its letter; 0 if neither is left."""
    for index in filter(None, (dead.index, dead.letter)):
        if await namespace.bring_frame(index) and not namespace.is_expired(index):
            return index
    return 0
