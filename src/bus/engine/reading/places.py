"""Places of a log where events of a filter may be: what is elsewhere needn't be looked at.

index    1 … ├── place ──┤ … … … … … … ├ place ┤ … … … ├─ what isn't known yet ──▶
                              ◀── looked at from the back
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import NamedTuple

from bus.storage.batch import Batch
from bus.units import NEVER


class Place(NamedTuple):
    """From an index on, and before another."""

    first: int
    next: int


@dataclass(frozen=True, slots=True)
class Places:
    """Some places, in their order; there is nothing of interest elsewhere.

    Before the index ``known`` it is events of these ``subjects``, and of no others.
    """

    places: Sequence[Place]
    subjects: Set[bytes] = frozenset()
    known: int = 0

    def may_have(self, batch: Batch) -> bool:
        """Whether something of interest may be in *batch*, by a short look."""
        return batch.next > self.known or not self.subjects.isdisjoint(batch.subjects)

    def before(self, index: int) -> Place:
        """The last place that begins before *index*, up to that; an empty one if there is none."""
        number = bisect_left(self.places, index, key=lambda place: place.first) - 1
        if number < 0:
            return Place(0, 0)
        first, following = self.places[number]
        return Place(first, min(following, index))


EVERYWHERE = Places((Place(0, NEVER),))
