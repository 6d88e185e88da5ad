"""Those who read at the tail, served per commit instead of per event.

Subscriptions that want the same bytes form a group: a commit's bytes are joined once for each group and
the same object is written to every sink in it. A live subscription has no cursor of its own, for it has
seen everything; one whose sink fills up leaves with a cursor and reads the log until it has caught up.
Those who read at their own pace (limits, acknowledgements) wait here for the next commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bus.engine.base import Sink
from bus.engine.selection import select
from bus.storage.batch import Batch
from bus.subject import Filter

Form = tuple[Filter, bool]
"""What decides the bytes: the filter, and whether they are NDJSON."""


class Follower(Protocol):
    """A subscription that is live: it takes whatever the group gets."""

    sink: Sink

    def fall_behind(self, index: int) -> None:
        """The sink is full; go on from *index* when it drains."""


class Reader(Protocol):
    """A subscription that waits for events."""

    def wake(self) -> None:
        """There are new events."""


class Live:
    """The followers and waiting readers of a namespace."""

    def __init__(self) -> None:
        self.delivered_bytes = 0
        self._groups: dict[Form, dict[Follower, None]] = {}
        self._waiting: dict[Reader, None] = {}

    def follow(self, form: Form, follower: Follower) -> None:
        """Serve *follower* from now on; it has seen all that is committed."""
        self._groups.setdefault(form, {})[follower] = None

    def unfollow(self, form: Form, follower: Follower) -> None:
        group = self._groups.get(form)
        if group is not None:
            group.pop(follower, None)
            if not group:
                del self._groups[form]

    def wait(self, reader: Reader) -> None:
        """Wake *reader* once, at the next commit."""
        self._waiting[reader] = None

    def forget(self, reader: Reader) -> None:
        self._waiting.pop(reader, None)

    def deliver(self, batches: Sequence[Batch]) -> None:
        """Hand what was just committed to everyone who wants it."""
        for form in list(self._groups):
            self._deliver_to(form, batches)
        waiting, self._waiting = self._waiting, {}
        for reader in waiting:
            reader.wake()

    def _deliver_to(self, form: Form, batches: Sequence[Batch]) -> None:
        wanted, ndjson = form
        for batch in batches:
            group = self._groups.get(form, {})
            data = select(batch, wanted, start=batch.first, ndjson=ndjson).data
            if data:
                self.delivered_bytes += len(data) * len(group)
                for follower in list(group):
                    follower.sink.write(data)
                self._drop_the_slow(form, group, batch.next)

    def _drop_the_slow(self, form: Form, group: dict[Follower, None], index: int) -> None:
        for follower in [follower for follower in group if not follower.sink.writable]:
            self.unfollow(form, follower)
            follower.fall_behind(index)

    def __len__(self) -> int:
        return sum(map(len, self._groups.values())) + len(self._waiting)

    def __repr__(self) -> str:
        return f"<Live {len(self._groups)} groups, {len(self)} subscribers>"
