"""A consumer's place in the log: hands out matching events one by one, fetched chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from bus.engine.base import Gap
from bus.engine.delivery.filtering import matching_next
from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import gap_between
from bus.subject import Filter


class LogCursor:
    """The events of a namespace that a filter takes, from an index on.

    ``cursor`` is the index to go on from: everything before it was handed out, isn't wanted, or is missing,
    which *missed* is told. ``handed`` counts the events handed out, and those passed by because they have expired when
    it is their turn; ``skipped`` counts the times that it went on elsewhere.
    """

    def __init__(self, namespace: Namespace, wanted: Filter, index: int, *, missed: Callable[[Gap], None]) -> None:
        self.cursor = index
        self.handed = 0
        self.skipped = 0
        self._namespace = namespace
        self._filter = wanted
        self._missed = missed
        self._fetched: Iterator[tuple[int, bytes]] = iter(())
        self._fetched_to = index
        self._may_expire = False

    def take(self) -> tuple[int, bytes] | None:
        """Index and frame of the next event among those fetched, None when they are used up."""
        for found in self._fetched:
            self.cursor = found[0] + 1
            self.handed += 1
            if not (self._may_expire and self._namespace.is_expired(found[0])):
                return found
        self.cursor = self._fetched_to
        return None

    def put_back(self, index: int, frame: bytes) -> None:
        """Hand this event, the last one taken, out again."""
        self._fetched = chain([(index, frame)], self._fetched)
        self.cursor = index
        self.handed -= 1

    @property
    def used_up(self) -> bool:
        """Whether nothing of what was fetched is left."""
        return self.cursor >= self._fetched_to

    def forget_fetched(self) -> None:
        """Read again what was fetched and not taken yet: it may be gone."""
        self._fetched = iter(())
        self._fetched_to = self.cursor

    def move(self, index: int) -> None:
        """Go on from *index*."""
        self.cursor = index
        self.skipped += 1
        self.forget_fetched()

    def look_again(self) -> None:
        """Some events were deleted, also of those that were counted."""
        self.forget_fetched()
        self.skipped += 1

    def fetch(self) -> bool:
        """Read the next chunk of the log; False at its end. Raises `StorageError`.

        What retention has deleted may be in memory still, but whoever was told that it is missing won't get it.
        """
        batches = self._namespace.read(max(self.cursor, self._namespace.first))
        if gap := gap_between(self._namespace, self.cursor, batches):
            self.skipped += 1
            self._missed(gap)
            self.cursor = self._fetched_to = gap.next_index
        elif not batches:
            return False
        self._may_expire = any(batch.expires for batch in batches)
        self._fetched, self._fetched_to = matching_next(batches, self._filter, start=self.cursor)
        return True

    def __repr__(self) -> str:
        return f"<LogCursor of {self._filter} at {self.cursor}>"
