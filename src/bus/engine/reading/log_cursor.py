"""A consumer's place in the log: hands out matching events one by one, fetched chunk by chunk.

    cursor ──▶ the newest of each subject ──▶ newest_until ──▶ all events ──▶

The first part is there only if it begins with `start=last`. Of what is passed by there nothing is left to be done, so
the place is an index as in the second part, and goes on from there after a restart too.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Iterator
from itertools import chain

from bus.engine.base import Gap
from bus.engine.delivery.filtering import matching_next
from bus.engine.namespace import Namespace, Newest
from bus.engine.reading.snapshot import Snapshot
from bus.engine.reading.start_position import gap_between
from bus.subject import Filter
from bus.units import BEGINNING


class LogCursor:
    """The events of a namespace that a filter takes, from an index on.

    Before *newest_until* only the newest event of each subject is one of them. ``cursor`` is the index to go on from:
    everything before it was handed out, isn't wanted, or is missing, which *missed* is told. ``handed`` counts the
    events handed out, and those passed by because they have expired when it is their turn; ``skipped`` counts the times
    that it went on elsewhere, or with other events. It ``waits`` while it isn't known which events are the newest.
    """

    def __init__(
        self,
        namespace: Namespace,
        wanted: Filter,
        index: int,
        *,
        newest_until: int = 0,
        missed: Callable[[Gap], None],
    ) -> None:
        self.cursor = index
        self.handed = 0
        self.skipped = 0
        self.waits = False
        self._snapshot = Snapshot(namespace, wanted, end=newest_until) if newest_until > index else None
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
    def newest_until(self) -> int:
        """The index before which only the newest event of each subject is handed out; 0 if it has come past that."""
        return self._snapshot.end if self._snapshot and self.cursor < self._snapshot.end else 0

    @property
    def is_at_end(self) -> bool:
        """Whether the log has no more to be fetched."""
        return self.cursor >= self._namespace.next

    def bring(self) -> Future[None] | None:
        """What to wait for before `fetch`; None if that answers at once."""
        return self._namespace.bring(max(self.cursor, self._namespace.first))

    @property
    def used_up(self) -> bool:
        """Whether nothing of what was fetched is left."""
        return self.cursor >= self._fetched_to

    def forget_fetched(self) -> None:
        """Read again what was fetched and not taken yet: it may be gone."""
        self._fetched = iter(())
        self._fetched_to = self.cursor

    def move(self, index: int) -> None:
        """Go on from *index*, with all events."""
        self.cursor = index
        self._snapshot = None
        self.skipped += 1
        self.forget_fetched()

    def look_again(self) -> None:
        """Some events were deleted, also of those that were counted."""
        if self._snapshot:
            self._snapshot.forget_read()
        self.forget_fetched()
        self.skipped += 1

    def fetch(self) -> bool:
        """Read the next chunk of the log; False if there is none as yet. Raises `StorageError`.

        What retention has deleted may be in memory still, but whoever was told that it is missing won't get it.
        """
        if self._snapshot:
            if self.cursor < self._snapshot.end:
                return self._fetch_newest(self._snapshot)
            self._snapshot = None
            self.skipped += 1
        batches = self._namespace.read(max(self.cursor, self._namespace.first))
        if gap := gap_between(self._namespace, self.cursor, batches):
            self.skipped += 1
            self._missed(gap)
            self.cursor = self._fetched_to = gap.next_index
        elif not batches:
            return False
        self._may_expire = any(batch.expires for batch in batches)
        # Whether an event has expired is asked when it is handed out.
        self._fetched, self._fetched_to = matching_next(batches, self._filter, start=self.cursor, now=BEGINNING)
        return True

    def _fetch_newest(self, snapshot: Snapshot) -> bool:
        found, following = snapshot.read(self.cursor, now=BEGINNING)
        self.waits = following == self.cursor
        self._may_expire = True
        self._fetched, self._fetched_to = iter(found), following
        return not self.waits

    def newest_from(self, index: int) -> Newest:
        """Subjects whose newest event is yet to be handed out, from *index* on; some, and the index to go on from."""
        return self._snapshot.subjects(index) if self._snapshot else Newest((), index)

    def await_newest(self, then: Callable[[], None]) -> None:
        """Call *then* when it may be known which events are the newest."""
        self._namespace.when_newest_known(then)

    def __repr__(self) -> str:
        return f"<LogCursor of {self._filter} at {self.cursor}>"
