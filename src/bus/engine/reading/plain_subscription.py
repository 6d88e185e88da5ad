"""A plain subscription: a cursor, a filter and a sink, with nothing to acknowledge.

    start ─▶ snapshot, if one is wanted
                 │
                 ▼
              reading ◀────────────┐
                 │ caught up       │ the sink filled up: go on from the log when it drains
                 ▼                 │
         live (in a group)  ───────┘
         waiting (limit, or following until a tail)

Reading goes chunk by chunk, one a turn of the loop, so that a long replay leaves room for publishers, and
only while the sink takes more: a subscriber that reads slowly is served from the log and costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from enum import Enum
from functools import partial

from bus.engine.base import MUCH, Sink, Subscribe
from bus.engine.delivery.filtering import cut
from bus.engine.guard import as_bus_error
from bus.engine.namespace import Namespace
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.reading.snapshot import Snapshot
from bus.engine.reading.start_position import gap_between, locate
from bus.errors import BusError
from bus.event import new_consumer_id
from bus.frame import join_frames
from bus.units import BEGINNING


class Stage(Enum):
    """Where a subscription is in the diagram above."""

    PAUSED = "not started, or the sink is full"
    DUE = "it has a turn to read"
    READING = "this is its turn"
    WAITING = "for the next commit, or for what is fetched"
    LIVE = "in a group"
    CLOSED = "over"


PAUSED, DUE, READING, WAITING, LIVE, CLOSED = Stage
"""Names of their own: until Python 3.12, to look one up in its class takes longer than a step between them."""


def _long_ago() -> int:
    """The time, in ns, of those who get expired events as well."""
    return BEGINNING


class PlainSubscription:
    """Serves one subscriber under ``ack=none``."""

    def __init__(
        self,
        namespace: Namespace,
        wanted: Subscribe,
        sink: Sink,
        *,
        turns: RoundRobin,
        closed: Callable[[str], None],
    ) -> None:
        position = locate(namespace, wanted)
        self.consumer_id = new_consumer_id()
        self.namespace = namespace.name
        self.first_index = namespace.first
        self.next_index = max(position.index, position.newest_until)
        self.gap = position.gap
        self.redelivery: tuple[float, ...] = ()
        self.sink = sink
        self._source = namespace
        self._key = wanted.filter, wanted.format
        self._left = wanted.limit
        self._until = None if wanted.follow else namespace.next
        self._clock = _long_ago if wanted.expired else namespace.clock
        self._turns = turns
        self._closed = closed
        self._snapshot: Snapshot | None = None
        self._shown_to = position.index
        if position.newest_until:
            self._snapshot = Snapshot(namespace, wanted.filter, end=position.newest_until)
        self._stage = PAUSED

    def start(self) -> None:
        self._read_soon()

    def resume(self) -> None:
        self._read_soon()

    def wake(self) -> None:
        self._read_soon()

    def fall_behind(self, index: int) -> None:
        self.next_index = index
        if self._stage is LIVE:
            self._stage = PAUSED
        self._read_soon()

    def _read_soon(self) -> None:
        if self._stage not in (DUE, LIVE, CLOSED):
            self._stage = DUE
            self._turns.add(self._take_turn)

    def _take_turn(self) -> None:
        """Send one chunk, then see what comes next."""
        if self._stage is not DUE:
            return
        if not self.sink.writable:
            self._stage = PAUSED
            return
        if self._snapshot is None and (coming := self._source.bring(self.next_index)):
            self._stage = WAITING
            coming.add_done_callback(lambda _: self._read_soon())
            return
        self._stage = READING
        try:
            if self._snapshot is None:
                self._read()
            else:
                self._read_snapshot(self._snapshot)
            self._go_on()
        except Exception as error:
            self.fail(as_bus_error(error, f"reading for {self!r}"))

    def _read(self) -> None:
        """Send a chunk, and before it what is missing."""
        now, batches = self._clock(), self._source.read(self.next_index)
        if gap := gap_between(self._source, self.next_index, batches):
            self.sink.tell("gap", asdict(gap))
            self.next_index = gap.next_index
        chunk = cut(batches, *self._key, start=self.next_index, limit=self._left, until=self._until, now=now)
        if chunk.data:
            again = partial(self._read_again, self.next_index, chunk.next, now)
            is_kept = len(chunk.data) <= MUCH or self._source.reads_later
            self.sink.write(chunk.data, None if is_kept else again)
            self._source.live.delivered += chunk.events
        self.next_index = chunk.next
        if self._left is not None:
            self._left -= chunk.events

    def _read_snapshot(self, snapshot: Snapshot) -> None:
        """Send a piece of what comes before everything else; wait if no more of it is known."""
        events, following = snapshot.read(self._shown_to, limit=self._left, now=self._clock())
        if events:
            self.sink.write(join_frames([frame for _, frame in events], self._key[1]))
            self._source.live.delivered += len(events)
        if self._left is not None:
            self._left -= len(events)
        if following >= snapshot.end:
            self._snapshot = None
        elif following == self._shown_to and self._stage is READING:
            self._stage = WAITING
            snapshot.await_more(self._read_soon)
        self._shown_to = following

    def _read_again(self, start: int, end: int, now: int) -> bytes:
        """The bytes of a chunk that was read before, at *now* (ns)."""
        pieces = []
        while start < end and (batches := self._source.read(start)):
            chunk = cut(batches, *self._key, start=start, until=end, now=now)
            pieces.append(chunk.data)
            start = chunk.next
        return b"".join(pieces)

    def _go_on(self) -> None:
        if self._stage is not READING:
            return
        if self._left == 0:
            self.end("limit")
        elif self._snapshot is not None:
            self._read_soon()
        elif self._until is not None and self.next_index >= self._until:
            self.end("tail")
        elif self.next_index < self._source.next:
            self._read_soon()
        elif self._left is not None or self._until is not None or self._source.live.busy:
            self._stage = WAITING
            self._source.live.wait(self)
        else:
            self._stage = LIVE
            self._source.live.follow(self._key, self)

    def end(self, reason: str) -> None:
        """End the stream; *reason* is told."""
        self.close()
        self.sink.end(reason)

    def fail(self, error: BusError) -> None:
        self.close()
        self.sink.fail(error)

    def close(self) -> None:
        if self._stage is not CLOSED:
            self._stage = CLOSED
            self._source.live.unfollow(self._key, self)
            self._source.live.forget(self)
            self._closed(self.consumer_id)

    def __repr__(self) -> str:
        state = "live" if self._stage is LIVE else f"at {self.next_index}"
        return f"<PlainSubscription {self.consumer_id} of {self._key[0]}, {state}>"
