"""Consumers that nobody uses: forgotten once they were without a connection for as long as they may be.

    connected ──▶ idle ── time passes, while the server runs ──▶ forgotten
        ▲           │
        └───────────┴─ somebody subscribes; a change starts the time anew

How long one is idle is written down each time a tenth of what it may be has passed: a crash gives it at most that much
again, and never takes any. The time in which the server doesn't run doesn't count, for nobody could have connected.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop

from bus.engine.embedded.consumers.durable_consumer import DurableConsumer
from bus.engine.embedded.consumers.durable_consumers import DurableConsumers
from bus.errors import StorageError
from bus.units import format_duration

log = logging.getLogger("bus.engine")

NOTES = 10
"""How often it is written down how long a consumer is idle, until it is forgotten."""


class IdleConsumers:
    """Forgets those of *consumers* that were idle for *ttl* seconds, unless they say otherwise; None is for ever."""

    def __init__(self, consumers: DurableConsumers, *, ttl: float | None, loop: AbstractEventLoop) -> None:
        self._consumers = consumers
        self._ttl = ttl
        self._loop = loop
        self._noted: dict[str, int] = {}

    def expire(self) -> None:
        """Forget those whose time is over."""
        now = self._loop.time()
        for durable in list(self._consumers):
            kept = self._ttl if durable.terms.expires is None else durable.terms.expires
            if kept and not durable.managing.locked():
                self._judge(durable, durable.idle(now=now), kept)

    def _judge(self, durable: DurableConsumer, idle: float, kept: float) -> None:
        if idle >= kept:
            self._forget(durable.name, kept)
        elif (passed := int(NOTES * idle / kept)) != self._noted.get(durable.name, 0):
            self._noted[durable.name] = passed
            self._consumers.changed(durable.consumer)

    def _forget(self, name: str, kept: float) -> None:
        try:
            self._consumers.forget(name)
        except StorageError as error:
            log.error("consumer %s is idle and can't be forgotten: %s", name, error)
        else:
            self._noted.pop(name, None)
            log.info("consumer %s is forgotten: nobody was connected for %s", name, format_duration(kept))

    def __repr__(self) -> str:
        return f"<IdleConsumers of {self._consumers!r}>"
