"""What there is to say of durable consumers, found out in pieces, so that nobody else waits for it.

    ask ─┐                       ┌─ one consumer described, or one piece of a log counted, a turn ─┐
    ask ─┴─▶ waiting ─▶ a round ─┘                                                                 └─▶ all answered
                           ▲  whoever asks meanwhile gets the next round, so no answer is older than its question

1. A round describes some consumers in each turn of the loop, as long as that is cheap.
2. For one that is behind it looks at one piece of the log in each turn, up to so many in a round; what is left
   to count is left to the next round, and the number so far is a lower bound until then.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from bus.consumer import ConsumerDescription
from bus.engine.consumer.lag import Lag
from bus.engine.reading.round_robin import RoundRobin

MOST_PIECES = 256
"""Pieces of logs, at most a turn's work each, that are looked at in a round."""

COST_OF_A_TURN = 2000
"""Deliveries that are pending, or consumers times 50, that are looked at in a turn: about a millisecond's work."""

COST_OF_ONE = 50

Described = Future[Sequence[ConsumerDescription]]
"""Where those wait who asked for one round."""


class ListedConsumer(Protocol):
    """A consumer to describe."""

    @property
    def lag(self) -> Lag:
        """How far it is behind."""

    @property
    def size(self) -> int:
        """How many deliveries it has pending."""

    def describe(self) -> ConsumerDescription:
        """All there is to say."""


class ConsumerListing:
    """Describes the consumers that *consumers* gives, for whoever asks; works in turn with others at *turns*.

    A round looks at *pieces* of logs at most.
    """

    def __init__(
        self, consumers: Callable[[], Sequence[ListedConsumer]], turns: RoundRobin, *, pieces: int = MOST_PIECES
    ) -> None:
        self._pieces = pieces
        self._consumers = consumers
        self._turns = turns
        self._next: Described | None = None
        self._running = False

    async def ask(self) -> Sequence[ConsumerDescription]:
        """What is so at this moment or later; those who ask in one round get the same sequence."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        if not self._running:
            self._running = True
            self._turns.add(self._begin)
        return await asyncio.shield(self._next)  # one who gives up mustn't take the answer from the others

    def _begin(self) -> None:
        asked, self._next = self._next, None
        assert asked is not None, "a round is for somebody"
        found: list[ConsumerDescription] = []
        self._go_on(_pieces(self._consumers(), found, self._pieces), found, asked)

    def _go_on(self, pieces: Iterator[None], found: list[ConsumerDescription], asked: Described) -> None:
        for _ in pieces:
            self._turns.add(lambda: self._go_on(pieces, found, asked))
            return
        self._running = self._next is not None
        if self._running:
            self._turns.add(self._begin)
        asked.set_result(found)


def _pieces(consumers: Sequence[ListedConsumer], found: list[ConsumerDescription], pieces: int) -> Iterator[None]:
    """Describe all of *consumers* into *found*, looking at so many *pieces*, with a stop after each piece of work."""
    cost = 0
    for consumer in consumers:
        while pieces and not consumer.lag.is_exact:
            consumer.lag.look()
            pieces -= 1
            yield
        found.append(consumer.describe())
        cost += COST_OF_ONE + consumer.size
        if cost >= COST_OF_A_TURN:
            cost = 0
            yield
