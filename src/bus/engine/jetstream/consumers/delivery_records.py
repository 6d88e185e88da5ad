"""How the deliveries of one consumer stand, as far as JetStream's count of deliveries doesn't say it."""

from __future__ import annotations

import logging

import msgspec

from bus.engine.consumer.delivery import IN_FLIGHT, Delivery
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.jetstream.consumers.consumer_record import ConsumerRecord, DeliveryRecord, is_told_by, take_up
from bus.engine.jetstream.consumers.leases import Lease
from bus.engine.jetstream.consumers.records import Records
from bus.engine.jetstream.naming import Naming
from bus.errors import BusError

log = logging.getLogger("bus.engine")


class DeliveryRecords:
    """The records of deliveries of *consumer*, and which were written from here."""

    def __init__(self, records: Records, naming: Naming, consumer: ConsumerRecord) -> None:
        self._records = records
        self._naming = naming
        self._consumer = consumer
        self._written: dict[int, KeptDelivery] = {}

    def _subject(self, index: int) -> str:
        return self._naming.record("delivery", self._consumer.consumer, str(index))

    async def take_up(self, lease: Lease) -> KeptDelivery:
        """How a delivery goes on that came back as *lease*. Raises `UnavailableError`."""
        payload = await self._records.find(self._subject(lease.index))
        return take_up(lease, msgspec.json.decode(payload, type=DeliveryRecord) if payload else None)

    def unknown(self, lease: Lease, delivery: Delivery) -> KeptDelivery | None:
        """What is to be written of *delivery*, None if it is known. What loses it if everything stops now is not.

        It counts as written from then on.
        """
        kept = KeptDelivery.of(delivery, due=0)
        if delivery.state is IN_FLIGHT:
            kept = KeptDelivery(kept.index, kept.attempts, loss=delivery.loss, alone=kept.alone)
        if is_told_by(lease, kept) or self._written.get(lease.index) == kept:
            return None
        self._written[lease.index] = kept
        return kept

    async def note(self, lease: Lease, kept: KeptDelivery) -> None:
        """Write down how a delivery stands, if that can be done."""
        record = DeliveryRecord(lease.source, lease.delivered, kept)
        try:
            await self._records.note(self._subject(lease.index), msgspec.json.encode(record))
        except BusError as error:
            log.warning("consumer %s: attempts of event %d aren't kept: %s", self._consumer.name, kept.index, error)

    def forget(self, index: int) -> None:
        """The delivery isn't here any more."""
        self._written.pop(index, None)

    def __repr__(self) -> str:
        return f"<DeliveryRecords of {self._consumer.name}, {len(self._written)} written>"
