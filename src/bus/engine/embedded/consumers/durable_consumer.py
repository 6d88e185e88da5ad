"""A durable consumer: a consumer with a name, and what it gave up."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from bus.engine.administration import DeadLetter
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.delivery import DELAYED, Delivery
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.terms import Terms
from bus.engine.embedded.consumers.consumer_store import ConsumerState
from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import StartPosition
from bus.frame import read_frame
from bus.subject import DEAD_SEGMENT, Filter
from bus.units import SECOND_NS

LONGEST_NACK_DELAY = 7 * 86400.0
"""Seconds a worker may put an event off."""


@dataclass(slots=True, eq=False)
class DurableConsumer:
    """A consumer with a name, and the events it gave up.

    Nobody is connected since ``idle_since`` (by the loop's clock, in seconds), and was for ``idle_before`` seconds
    before the server was started. Whoever manages it waits for its turn at ``managing``.
    """

    consumer: Consumer
    terms: Terms
    dead: dict[int, DeadLetter] = field(default_factory=dict)
    burying: dict[int, int] = field(default_factory=dict)
    idle_since: float = 0.0
    idle_before: float = 0.0
    managing: Lock = field(default_factory=Lock)

    @property
    def name(self) -> str:
        return self.consumer.name

    @property
    def namespace(self) -> Namespace:
        return self.consumer.namespace

    def idle(self, *, now: float) -> float:
        """Seconds without a connection; the time in which the server doesn't run doesn't count."""
        return 0.0 if self.consumer.subscriptions else self.idle_before + now - self.idle_since

    def show_life(self, *, now: float) -> None:
        """Somebody cares for it: it is idle from now on at the earliest."""
        self.idle_before, self.idle_since = 0.0, now

    def state(self, *, now: float, wall: int, terms: Terms | None = None) -> ConsumerState:
        """What to write, with other *terms* if they are given. An event on its way to the dead letters is pending.

        *now* is the loop's time in seconds and *wall* that of the world in ns, which goes on over restarts.
        """
        consumer, terms = self.consumer, terms or self.terms
        pending = [KeptDelivery.of(found, due=_due(found, now, wall)) for found in consumer.pending]
        burying = [KeptDelivery(index, attempts) for index, attempts in self.burying.items()]
        return ConsumerState(
            name=consumer.name,
            namespace=consumer.namespace.name,
            patterns=[pattern.text for pattern in terms.filter.patterns],
            redelivery=terms.redelivery,
            redelivery_count=terms.redelivery_count,
            by_key=terms.by_key,
            cursor=consumer.cursor,
            pending=sorted(pending + burying, key=attrgetter("index")),
            dead=list(self.dead.values()),
            given=sorted(terms.given),
            paused=terms.paused,
            expires=terms.expires,
            idle=self.idle(now=now),
            newest_until=consumer.newest_until,
        )

    def restore(self, pending: Iterable[KeptDelivery], *, wall: int) -> list[KeptDelivery]:
        """Take up what was pending; returns those whose events can't be read any more.

        No delay is longer than any may be, whatever became of the world's clock.
        """
        return [kept for kept in pending if not self.consumer.restore(kept, delay=_delay(kept, wall))]

    def oldest_needed(self) -> int:
        """The oldest index that isn't settled, or whose letter isn't stored yet."""
        pending = (delivery.index for delivery in self.consumer.pending)
        return min((*pending, *self.burying, self.consumer.cursor))

    def choose(self, indexes: Iterable[int] | None) -> list[DeadLetter]:
        """The dead events of these indexes, all of them for None."""
        if indexes is None:
            return list(self.dead.values())
        return [self.dead[index] for index in dict.fromkeys(indexes) if index in self.dead]


def _due(delivery: Delivery, now: float, wall: int) -> int:
    return wall + int((delivery.due - now) * SECOND_NS) if delivery.state is DELAYED else 0


def _delay(kept: KeptDelivery, wall: int) -> float:
    return min((kept.due - wall) / SECOND_NS, LONGEST_NACK_DELAY) if kept.due else 0


def terms_in(state: ConsumerState) -> Terms:
    """The terms that were written down."""
    return Terms(
        filter=Filter.parse(state.patterns),
        redelivery=tuple(state.redelivery),
        redelivery_count=state.redelivery_count,
        by_key=state.by_key,
        given=frozenset(state.given),
        paused=state.paused,
        expires=state.expires,
    )


def place_in(state: ConsumerState) -> StartPosition:
    """The place that was written down."""
    return StartPosition(state.cursor, newest_until=state.newest_until)


def is_for(wanted: Filter, namespace: Namespace, index: int) -> bool:
    """Whether what is pending at *index* is for one that reads *wanted*; a letter that was sent back always is."""
    frame = namespace.frame(index)
    if frame is None:
        return True
    subject = read_frame(frame).subject
    return wanted.matches(subject.encode()) or subject.split(".")[1] == DEAD_SEGMENT
