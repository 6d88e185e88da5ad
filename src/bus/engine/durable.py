"""A durable consumer: a consumer with a name, and what it gave up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bus.engine.consumer import Consumer
from bus.engine.store import ConsumerState, Dead
from bus.engine.terms import Terms


@dataclass(slots=True, eq=False)
class Durable:
    """A consumer with a name, and the events it gave up."""

    consumer: Consumer
    terms: Terms
    dead: dict[int, Dead] = field(default_factory=dict)
    burying: dict[int, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.consumer.name

    def state(self) -> ConsumerState:
        """What to write. An event on its way to the dead letters is still pending."""
        consumer, terms = self.consumer, self.terms
        pending = [(delivery.index, delivery.attempts) for delivery in consumer.pending]
        return ConsumerState(
            name=consumer.name,
            namespace=consumer.namespace.name,
            patterns=[pattern.text for pattern in consumer.filter.patterns],
            redelivery=list(terms.redelivery),
            redelivery_count=terms.redelivery_count,
            by_key=terms.by_key,
            cursor=consumer.cursor,
            pending=sorted(pending + list(self.burying.items())),
            dead=list(self.dead.values()),
            given=sorted(terms.given),
        )

    def oldest_needed(self) -> int:
        """The oldest index that isn't settled, or whose letter isn't stored yet."""
        pending = (delivery.index for delivery in self.consumer.pending)
        return min((*pending, *self.burying, self.consumer.cursor))

    def choose(self, indexes: Iterable[int] | None) -> list[Dead]:
        """The dead events of these indexes, all of them for None."""
        if indexes is None:
            return list(self.dead.values())
        return [self.dead[index] for index in dict.fromkeys(indexes) if index in self.dead]
