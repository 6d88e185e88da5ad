"""Events that were given up and sent back: handed out one at a time, by a queue of their own.

redrive ─▶ stream bus_<prefix>__redrive ─▶ pull, one at a time ─▶ lease ─▶ pending, attempts from 1
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Task
from typing import Protocol

from bus.engine.jetstream.consumers.abandoned_pulls import forget_abandoned
from bus.engine.jetstream.consumers.leases import Lease, Leases
from bus.engine.jetstream.namespace import JetNamespace
from bus.errors import BusError
from bus.frame import id_of
from bus.nats import Delivery, JetStream, NatsError, Puller, PullOptions, StatusError

log = logging.getLogger("bus.engine")

PULL_SECONDS = 20.0
PAUSE = 0.1
EXPIRED = 408


class Redrivable(Protocol):
    """The consumer that events are sent back to."""

    namespace: JetNamespace
    leases: Leases

    async def take_redriven(self, lease: Lease, event_id: str) -> None:
        """Deliver it."""


class RedrivenEvents:
    """What is sent back to *consumer*, by the consumer of JetStream of the same name on *stream*."""

    def __init__(self, consumer: Redrivable, jetstream: JetStream, stream: str, *, loop: AbstractEventLoop) -> None:
        self._consumer = consumer
        self._jetstream = jetstream
        self._stream = stream
        self._loop = loop
        self._puller: Puller | None = None
        self._name = ""
        self._taking: set[Task[None]] = set()

    def begin(self, name: str) -> None:
        """Ask the consumer of this name from now on, until `release`."""
        if self._puller is None:
            self._name = name
            self._puller = self._jetstream.puller(self._stream, name, self._heard)
            self._ask()

    def _ask(self) -> None:
        if self._puller:
            self._puller.ask(PullOptions(expires=PULL_SECONDS))

    def _heard(self, heard: Delivery | NatsError) -> None:
        if isinstance(heard, StatusError) and heard.status == EXPIRED:
            self._ask()
        elif isinstance(heard, NatsError):
            self._loop.call_later(PAUSE, self._ask)
        else:
            task = self._loop.create_task(self._take(heard))
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    async def _take(self, delivery: Delivery) -> None:
        index, leases = int(delivery.payload), self._consumer.leases
        try:
            if leases.take(delivery, index, source=f"redriven.{delivery.seq}") and (lease := leases.get(index)):
                await self._take_event(lease)
        except BusError as error:  # it comes again when its lease is over
            log.warning("an event that was sent back waits: %s", error)
            leases.forget(index)
        self._ask()

    async def _take_event(self, lease: Lease) -> None:
        namespace = self._consumer.namespace
        frame = await namespace.bring_frame(lease.index)
        if frame and not namespace.is_expired(lease.index):
            await self._consumer.take_redriven(lease, id_of(frame))
        else:
            self._consumer.leases.acknowledge(lease.index, lambda error: None)

    def release(self) -> None:
        """Ask no more for now."""
        if self._puller:
            self._puller.close()
            self._puller = None

    async def forgotten(self) -> None:
        """Return when JetStream doesn't deliver to a pull that was left waiting."""
        if self._name and not self._puller:
            await forget_abandoned(self._jetstream, self._stream, self._name)
            self._name = ""

    def __repr__(self) -> str:
        return f"<RedrivenEvents of {self._stream}>"
