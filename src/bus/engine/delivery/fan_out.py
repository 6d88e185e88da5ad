"""Those who read at the tail, served per commit instead of per event.

Subscriptions that want the same bytes form a group: a commit's bytes are joined once for each group and
the same object is written to every sink in it. Which groups want a subject is found by one walk of a tree of
all their patterns. A live subscription has no cursor of its own, for it has seen everything; one whose sink
fills up leaves with a cursor and reads the log until it has caught up. Those who read at their own pace
(limits, acknowledgements) wait here for the next commit.

    commit ─▶ match subjects ─▶ for each group: join, write ─▶ wake who waits
                    └────────────────────┴─ more than a turn's work: the rest in later turns

All of it is done in the turn of the commit, unless there is very much: thousands of subjects that were never
seen, or hundreds of groups that each get other bytes of a large batch. The rest is then done in later turns,
batch by batch in their order, and until it is through nobody joins a group.
"""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Protocol

from bus.engine.base import MUCH
from bus.engine.delivery.filtering import select
from bus.engine.delivery.groups import Follower, Group, GroupKey, Groups
from bus.engine.guard import as_bus_error
from bus.frame import Format
from bus.storage.batch import Batch

TURN = 40_000
"""Steps of work in one turn of the loop: a place in the tree that is passed, an event that is cut out of its
batch. It is some 5 ms."""


class CommitWaiter(Protocol):
    """A subscription that waits for events."""

    def wake(self) -> None:
        """There are new events."""


class FanOut:
    """The followers and waiting readers of a namespace. *clock* tells the time, in ns.

    ``delivered`` counts events handed to subscribers of all kinds, ``delivered_bytes`` bytes handed to followers.
    """

    def __init__(self, loop: AbstractEventLoop, *, clock: Callable[[], int] = time.time_ns) -> None:
        self.delivered = 0
        self.delivered_bytes = 0
        self._loop = loop
        self._clock = clock
        self._groups = Groups()
        self._waiting: dict[CommitWaiter, None] = {}
        self._due: deque[Batch] = deque()
        self._delivering: Iterator[None] | None = None
        self._steps = 0

    @property
    def busy(self) -> bool:
        """Whether a commit is still being delivered, so that nobody can join: wait until it is through."""
        return self._delivering is not None

    @property
    def has_followers(self) -> bool:
        """Whether anybody is served live."""
        return bool(self._groups.by_key)

    def follow(self, key: GroupKey, follower: Follower) -> None:
        """Serve *follower* from now on; it has seen all that is committed."""
        self._groups.join(key, follower)

    def unfollow(self, key: GroupKey, follower: Follower) -> None:
        self._groups.leave(key, follower)

    def wait(self, reader: CommitWaiter) -> None:
        """Wake *reader* once, at the next commit, or when the one that is being delivered is through."""
        self._waiting[reader] = None

    def forget(self, reader: CommitWaiter) -> None:
        self._waiting.pop(reader, None)

    # -- delivering

    def deliver(self, batches: Sequence[Batch]) -> None:
        """Hand what was just committed to everyone who wants it."""
        if self._groups.by_key:
            self._due.extend(batches)
            if self._delivering is None:
                self._delivering = self._deliver_due()
                self._go_on()
        if self._waiting:
            self._wake()

    def _go_on(self) -> None:
        """Do a turn's work."""
        assert self._delivering is not None
        self._steps = 0
        for _ in self._delivering:
            self._loop.call_soon(self._finish)
            return
        self._delivering = None

    def _finish(self) -> None:
        self._go_on()
        if not self.busy:
            self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for reader in waiting:
            reader.wake()

    def _deliver_due(self) -> Iterator[None]:
        """Deliver batch after batch; yields whenever a turn's work is done."""
        while self._due:
            batch = self._due.popleft()
            try:
                yield from self._deliver(batch)
            except Exception as error:
                self._fail([follower for group in self._groups.by_key.values() for follower in group.followers], error)

    def _deliver(self, batch: Batch) -> Iterator[None]:
        wanting = yield from self._match(batch)
        for group, taken in wanting.items():
            try:
                self._deliver_to(group, batch, taken)
            except Exception as error:
                self._fail(group.followers, error)
            if self._steps > TURN:
                yield

    def _match(self, batch: Batch) -> Generator[None, None, dict[Group, bytearray]]:
        """Who wants which subjects of *batch*."""
        groups, subjects = self._groups, batch.subjects
        wanting: dict[Group, bytearray] = {}
        for number, subject in enumerate(subjects):
            before = groups.work
            for group in groups.wanting(subject):
                taken = wanting.get(group)
                if taken is None:
                    taken = wanting[group] = bytearray(len(subjects))
                taken[number] = 1
                self._steps += 1
            self._steps += groups.work - before
            if self._steps > TURN:
                yield
        return wanting

    def _deliver_to(self, group: Group, batch: Batch, taken: bytearray) -> None:
        data, events, _ = select(batch, taken, group.form, start=batch.first, now=self._clock())
        if not data:
            return
        if group.form is Format.NDJSON or not all(taken):
            self._steps += batch.count
        if len(data) > MUCH:
            self._send_back(group, list(group.followers), batch.first)
            return
        self.delivered += events * len(group.followers)
        self.delivered_bytes += len(data) * len(group.followers)
        for follower in list(group.followers):
            try:
                follower.sink.write(data)
            except Exception as error:
                self._fail([follower], error)
        if slow := [follower for follower in group.followers if not follower.sink.writable]:
            self._send_back(group, slow, batch.next)

    def _send_back(self, group: Group, followers: Iterable[Follower], index: int) -> None:
        """Let *followers* go on from *index* by themselves: their sinks are full, or it is much and not to be kept."""
        for follower in followers:
            self._groups.leave((group.wanted, group.form), follower)
            follower.fall_behind(index)

    def send_back(self, index: int) -> None:
        """Let all who are served live read by themselves from *index* on."""
        self._due.clear()
        for group in list(self._groups.by_key.values()):
            self._send_back(group, list(group.followers), index)

    def _fail(self, followers: Iterable[Follower], error: Exception) -> None:
        told = as_bus_error(error, "live delivery")
        for follower in list(followers):
            try:
                follower.fail(told)
            except Exception as again:
                as_bus_error(again, f"breaking off {follower!r}")

    def __len__(self) -> int:
        return sum(len(group.followers) for group in self._groups.by_key.values()) + len(self._waiting)

    def __repr__(self) -> str:
        return f"<FanOut {len(self._groups.by_key)} groups, {len(self)} subscribers>"
