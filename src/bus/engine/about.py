"""What there is to say of a durable consumer, for ``/v1/consumers`` and the metrics."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from dataclasses import dataclass

from bus.engine.backlog import Backlog
from bus.engine.base import Description
from bus.engine.durable import Durable
from bus.engine.why import why


@dataclass(frozen=True, slots=True)
class About:
    """One consumer to describe; *loop* has the time."""

    durable: Durable
    loop: AbstractEventLoop

    @property
    def backlog(self) -> Backlog:
        return self.durable.consumer.backlog

    @property
    def size(self) -> int:
        return len(self.durable.consumer.pending)

    def describe(self) -> Description:
        """All there is to say. ``counting`` means that ``behind`` is a lower bound yet."""
        consumer, durable = self.durable.consumer, self.durable
        return {
            "name": consumer.name,
            "namespace": consumer.namespace.name,
            "patterns": [pattern.text for pattern in consumer.filter.patterns],
            **durable.terms.describe(),
            "next_index": consumer.cursor,
            "behind": self.backlog.events,
            "counting": not self.backlog.is_exact,
            "pending": len(consumer.pending),
            "in_flight": sum(member.in_flight for member in consumer.members),
            "dead": len(durable.dead),
            "connections": len(consumer.members),
            "why": why(consumer, now=self.loop.time()),
        }
