"""A consumer under ``ack=manual``: one cursor and one set of pending deliveries, shared by its members.

A member is one connection. An anonymous consumer has exactly one and ends with it; a durable consumer has
a name, any number of members, and outlives them. Each turn hands every member with room in its window the
events that are ready, those that came back first, then new ones from the log.

    log ──matching──▶ admit ─▶ Pending ─▶ member with room ─▶ sink
                                  ▲                             │
                                  └── nack, deadline, member gone
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import msgspec

from bus.engine.base import Acknowledge, Action, Gap, Sink, Subscribe
from bus.engine.namespace import Namespace
from bus.engine.pending import GivenUp, Pending, State
from bus.engine.position import Position, find, frame_at
from bus.engine.selection import matching
from bus.errors import BusError, StorageError, UnknownEventError
from bus.event import new_consumer_id
from bus.units import format_duration
from bus.wire import extend_frame, id_of, join_frames, json_of

MOST_PENDING = 10_000
"""Events a consumer may leave unsettled (held behind a key, delayed) before it is given no new ones."""

REMEMBERED_GIVEN_UP = 1024


class _Keyed(msgspec.Struct):
    key: str = ""


_keyed = msgspec.json.Decoder(_Keyed)


class Member:
    """One connection of a consumer."""

    def __init__(self, consumer: Consumer, wanted: Subscribe, sink: Sink, gap: Gap | None) -> None:
        self.consumer = consumer
        self.consumer_id = new_consumer_id()
        self.namespace = consumer.namespace.name
        self.first_index = consumer.namespace.first
        self.next_index = consumer.cursor
        self.gap = gap
        self.sink = sink
        self.prefetch = wanted.prefetch
        self.ndjson = wanted.ndjson
        self.started = False

    def start(self) -> None:
        self.started = True
        self.consumer.pump_soon()

    def resume(self) -> None:
        self.consumer.pump_soon()

    def close(self) -> None:
        self.consumer.leave(self)

    def __repr__(self) -> str:
        return f"<Member {self.consumer_id} of {self.consumer!r}>"


class Consumer:
    """What its members have yet to get and to settle."""

    def __init__(
        self,
        namespace: Namespace,
        wanted: Subscribe,
        position: Position,
        *,
        loop: AbstractEventLoop,
        closed: Callable[[Member], None],
        given_up: Callable[[Consumer, GivenUp], None],
        changed: Callable[[Consumer], None] = lambda consumer: None,
    ) -> None:
        self.namespace = namespace
        self.filter = wanted.filter
        self.name = wanted.consumer or ""
        self.cursor = position.index
        self.pending = Pending(redelivery=wanted.redelivery, limit=wanted.redelivery_count)
        self.members: list[Member] = []
        self._began = position.index
        self._by_key = wanted.by_key
        self._left = wanted.limit
        self._until = None if wanted.follow else namespace.next
        self._loop = loop
        self._closed = closed
        self._given_up = given_up
        self._changed = changed
        self._refused: deque[str] = deque(maxlen=REMEMBERED_GIVEN_UP)
        self._fetched: Iterator[tuple[int, bytes]] = iter(())
        self._fetched_to = position.index
        self._pumping = False
        self._timer: TimerHandle | None = None

    # -- members

    def join(self, wanted: Subscribe, sink: Sink, gap: Gap | None = None) -> Member:
        """Add a connection; it gets nothing before its ``start``."""
        member = Member(self, wanted, sink, gap)
        self.members.append(member)
        return member

    def leave(self, member: Member) -> None:
        """The connection is gone: what it had in flight goes to the others at once."""
        if member not in self.members:
            return
        self.members.remove(member)
        self._give_up(self.pending.release(member.consumer_id, now=self._loop.time()))
        self._closed(member)
        self.pump_soon()

    # -- what members say

    def settle(self, member: Member, event_id: str, ack: Acknowledge) -> int | None:
        """Carry out *ack* for one event.

        Returns the index of an event that is acknowledged now. Raises `UnknownEventError`, `NotOwnerError`.
        """
        if self.pending.get(event_id) is None and self._is_settled(event_id):
            return None
        index = self._settle(member.consumer_id, event_id, ack)
        self._changed(self)
        self.pump_soon()
        return index

    def _settle(self, owner: str, event_id: str, ack: Acknowledge) -> int | None:
        now = self._loop.time()
        match ack.action:
            case Action.ACK:
                return self.pending.ack(event_id, owner).index
            case Action.NACK:
                gone = self.pending.nack(event_id, owner, now=now, delay=ack.delay or 0, reason=ack.reason)
                self._give_up([gone] if gone else [])
            case Action.EXTEND:
                self.pending.extend(event_id, owner, now=now, delay=ack.delay)
            case Action.REJECT:
                self._give_up([self.pending.reject(event_id, owner, reason=ack.reason)])
        return None

    def _is_settled(self, event_id: str) -> bool:
        """Whether the event was acknowledged before: saying so again changes nothing."""
        if event_id in self._refused:
            raise UnknownEventError(f"event {event_id} was given up: it can't be acknowledged any more")
        index = find(self.namespace, event_id)
        return index is not None and self._began <= index < self.cursor

    def _give_up(self, given_up: Iterable[GivenUp]) -> None:
        for gone in given_up:
            self._refused.append(gone.delivery.event_id)
            self._given_up(self, gone)

    # -- handing out

    def wake(self) -> None:
        self.pump_soon()

    def pump_soon(self) -> None:
        """Hand out what there is at the end of this turn of the loop."""
        if not self._pumping and self.members:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pumping = False
        try:
            for member in list(self.members):
                self._serve(member)
            more = self._wants_more() and self._refill()
        except StorageError as error:
            self._fail(error)
            return
        if more:
            self.pump_soon()
        self._finish_if_done()
        self._arm()

    def _serve(self, member: Member) -> None:
        """Fill the window of *member* as far as its sink takes it."""
        room = member.prefetch - self.pending.in_flight(member.consumer_id)
        if room <= 0 or not (member.started and member.sink.writable):
            return
        frames: list[bytes] = []
        while len(frames) < room and (frame := self._next(member.consumer_id)):
            frames.append(frame)
        if frames:
            member.sink.write(join_frames(frames, ndjson=member.ndjson))
            self.members.remove(member)
            self.members.append(member)
            self._changed(self)

    def _next(self, owner: str) -> bytes | None:
        """The frame to hand to *owner* next, with its attempt; None when there is nothing to hand out."""
        now = self._loop.time()
        while True:
            fresh = b""
            delivery = self.pending.deliver(owner, now=now)
            if delivery is None:
                fresh = self._admit_next()
                if not fresh:
                    return None
                delivery = self.pending.deliver(owner, now=now)
            if delivery and (frame := fresh or frame_at(self.namespace, delivery.index)):
                return extend_frame(frame, b',"attempts":%d' % delivery.attempts)
            if delivery:
                self._give_up([self.pending.reject(delivery.event_id, owner, reason="no longer in the log")])

    def _admit_next(self) -> bytes:
        """Take the next event of the log in; empty when there is none at hand or too much is pending."""
        if self._left == 0 or len(self.pending) >= MOST_PENDING:
            return b""
        index, frame = next(self._fetched, (self._fetched_to, b""))
        if frame and self._until is not None and index >= self._until:
            index, frame = self._until, b""
        self.cursor = index + 1 if frame else index
        return self._admit(index, frame) if frame else b""

    def _admit(self, index: int, frame: bytes) -> bytes:
        """Make the event pending; one whose publisher chose an id that is pending waits until that is settled."""
        event_id = id_of(frame)
        if self.pending.get(event_id):
            self._fetched = chain([(index, frame)], self._fetched)
            self.cursor = index
            return b""
        self.pending.admit(index, event_id, key=self._key_of(frame))
        if self._left is not None:
            self._left -= 1
        return frame

    def readmit(self, index: int, *, attempts: int = 0) -> None:
        """Make an event pending again that was delivered before, after a restart or from the dead letters."""
        frame = frame_at(self.namespace, index)
        if frame:
            self.pending.admit(index, id_of(frame), key=self._key_of(frame), attempts=attempts)

    def _key_of(self, frame: bytes) -> str:
        return _keyed.decode(json_of(frame)).key if self._by_key else ""

    def _wants_more(self) -> bool:
        """Whether new events should be fetched: somebody has room, and what was fetched is used up."""
        if self.cursor < self._fetched_to or self._left == 0 or len(self.pending) >= MOST_PENDING:
            return False
        return any(
            member.started and member.sink.writable and self.pending.in_flight(member.consumer_id) < member.prefetch
            for member in self.members
        )

    def _refill(self) -> bool:
        """Read the next chunk of the log; at its end wait for the next commit."""
        batches = self.namespace.read(self.cursor)
        if batches:
            self._fetched = matching(batches, self.filter, start=self.cursor)
            self._fetched_to = batches[-1].next
            return True
        self.namespace.live.wait(self)
        return False

    # -- time

    def _arm(self) -> None:
        """Have a timer for the next deadline, but at most one."""
        due = self.pending.next_due
        if due is None or (self._timer and self._timer.when() <= due):
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._expire)

    def _expire(self) -> None:
        self._timer = None
        self._give_up(self.pending.expire(now=self._loop.time()))
        self._changed(self)
        self.pump_soon()
        self._arm()

    # -- the end

    def _finish_if_done(self) -> None:
        """A bounded consumer ends when all it was to get is settled."""
        if len(self.pending):
            return
        if self._left == 0:
            self.end("limit")
        elif self._until is not None and self.cursor >= self._until:
            self.end("tail")

    def _fail(self, error: BusError) -> None:
        for member in list(self.members):
            member.sink.tell("error", error.message)
        self.end("error")

    def end(self, reason: str) -> None:
        """End the streams of all members."""
        for member in list(self.members):
            member.close()
            member.sink.end(reason)

    def close(self) -> None:
        """Stop waiting and timing; nothing is delivered any more."""
        self.namespace.live.forget(self)
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # -- how it stands

    def oldest_needed(self) -> int:
        """The oldest index that isn't settled."""
        return min((delivery.index for delivery in self.pending), default=self.cursor)

    def why(self) -> str:
        """Why nothing is being delivered, in a line; what is closest to the subscriber comes first."""
        if not self.members:
            return "no connection"
        if all(not member.sink.writable for member in self.members):
            return "slow socket: no connection reads what it was sent"
        if blocked := self._blocked_windows():
            return blocked
        if len(self.pending) >= MOST_PENDING:
            return f"{len(self.pending)} events are delayed or held behind their keys: no more are taken on"
        if self.cursor < self.namespace.next or any(found.state is State.READY for found in self.pending):
            return "delivering"
        return self._waiting()

    def _blocked_windows(self) -> str:
        """What fills the windows, if all are full."""
        if any(self.pending.in_flight(member.consumer_id) < member.prefetch for member in self.members):
            return ""
        flying = [found for found in self.pending if found.state is State.IN_FLIGHT]
        oldest = min(flying, key=lambda found: found.since)
        names = ", ".join(found.event_id for found in sorted(flying, key=lambda found: found.index)[:3])
        more = f" and {len(flying) - 3} more" if len(flying) > 3 else ""
        return f"window full since {format_duration(round(self._loop.time() - oldest.since, 3))} by {names}{more}"

    def _waiting(self) -> str:
        """What is left to wait for when the log is read to its end."""
        states = [found.state for found in self.pending]
        if State.DELAYED in states:
            due = min(found.due for found in self.pending if found.state is State.DELAYED)
            wait = format_duration(max(round(due - self._loop.time(), 3), 0))
            return f"caught up, {states.count(State.DELAYED)} nacked, the next due in {wait}"
        if states:
            return f"caught up, {len(states)} in flight or held behind their keys"
        return "caught up"

    def __repr__(self) -> str:
        return f"<Consumer {self.name or 'anonymous'} of {self.filter} at {self.cursor}, {len(self.pending)} pending>"
