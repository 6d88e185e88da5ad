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
from collections.abc import Callable, Iterable

import msgspec

from bus.engine.attempts import made_again, nth_attempt
from bus.engine.backlog import Backlog
from bus.engine.base import MUCH, Acknowledge, Action, Gap, Sink, Subscribe
from bus.engine.feed import Feed
from bus.engine.guard import as_bus_error
from bus.engine.member import Member, Settled
from bus.engine.namespace import Namespace
from bus.engine.pending import Delivery, GivenUp, Pending, State
from bus.engine.position import Position, find, frame_at
from bus.engine.terms import Terms
from bus.errors import BusError, NotOwnerError, UnknownEventError
from bus.wire import id_of, join_frames, json_of

MOST_PENDING = 10_000
"""Events a consumer may leave unsettled (held behind a key, delayed) before it is given no new ones."""

REMEMBERED_GIVEN_UP = 1024


class _Keyed(msgspec.Struct):
    key: str = ""


_keyed = msgspec.json.Decoder(_Keyed)


class Consumer:
    """What its members have yet to get and to settle."""

    def __init__(
        self,
        namespace: Namespace,
        terms: Terms,
        position: Position,
        *,
        name: str = "",
        loop: AbstractEventLoop,
        closed: Callable[[Member], None],
        given_up: Callable[[Consumer, GivenUp], None],
        changed: Callable[[Consumer], None] = lambda consumer: None,
    ) -> None:
        self.namespace = namespace
        self.filter = terms.filter
        self.name = name
        self.pending = Pending(redelivery=terms.redelivery, limit=terms.redelivery_count)
        self.members: list[Member] = []
        self._began = position.index
        self._by_key = terms.by_key
        self._loop = loop
        self._closed = closed
        self._given_up = given_up
        self._changed = changed
        self._refused: deque[str] = deque(maxlen=REMEMBERED_GIVEN_UP)
        self._feed = Feed(namespace, terms.filter, position.index, missed=self._tell_gap)
        self.backlog = Backlog(namespace, terms.filter, self._feed)
        self._pumping = False
        self._timer: TimerHandle | None = None

    @property
    def cursor(self) -> int:
        """The index it goes on from: everything before is settled or pending."""
        return self._feed.cursor

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

    def settle(self, member: Member, ack: Acknowledge) -> Settled:
        """Carry out *ack* for each of its events that it can be carried out for."""
        now = self._loop.time()
        done = Settled([], [])
        for event_id in ack.event_ids:
            try:
                index = self._settle(member.consumer_id, event_id, ack, now)
            except (UnknownEventError, NotOwnerError) as error:
                done.refused.append(error)
            else:
                done.acknowledged.extend([index] if index else [])
        self._changed(self)
        self.pump_soon()
        return done

    def _settle(self, owner: str, event_id: str, ack: Acknowledge, now: float) -> int | None:
        """The index of the event if it is acknowledged by this; saying anything of it again changes nothing."""
        if event_id not in self.pending and self._is_settled(event_id):
            return None
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
        """Whether the event was acknowledged before."""
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
            self._fetch_if_wanted()
        except Exception as error:
            self._fail(as_bus_error(error, f"handing out by {self!r}"))
            return
        for member in list(self.members):
            self._finish_if_done(member)
        self._arm()

    def _serve(self, member: Member) -> None:
        """Fill the window of *member* as far as its sink takes it."""
        room = member.room
        frames: list[bytes] = []
        size = 0
        while len(frames) < room and size < MUCH and (frame := self._next(member)):
            frames.append(frame)
            size += len(frame)
        if frames:
            again = made_again(self.namespace, frames, member.format) if size > MUCH else None
            member.sink.write(join_frames(frames, member.format), again)
            member.count(len(frames))
            if size >= MUCH:
                self.pump_soon()
            self.members.remove(member)
            self.members.append(member)
            self._changed(self)

    def _next(self, member: Member) -> bytes:
        """The frame to hand to *member* next, with its attempt; empty when there is nothing to hand out."""
        now = self._loop.time()
        while True:
            fresh = b""
            delivery = self.pending.deliver(member.consumer_id, now=now)
            if delivery is None:
                fresh = self._admit_next(member)
                if not fresh:
                    return b""
                delivery = self.pending.deliver(member.consumer_id, now=now)
            if delivery and (frame := fresh or frame_at(self.namespace, delivery.index)):
                return nth_attempt(frame, delivery.attempts)
            if delivery:
                gone = self.pending.reject(delivery.event_id, member.consumer_id, reason="no longer in the log")
                self._give_up([gone])

    def _admit_next(self, member: Member) -> bytes:
        """Make the next event of the log pending; empty when there is none at hand that can be now.

        An id that its publisher chose may be pending already: the event waits until that one is settled.
        """
        found = None if self.is_full else self._feed.take()
        if found is None:
            return b""
        index, frame = found
        event_id = id_of(frame)
        if not member.takes(index) or self.pending.get(event_id):
            self._feed.put_back(index, frame)
            return b""
        self.pending.admit(index, event_id, key=self._key_of(frame))
        return frame

    @property
    def is_full(self) -> bool:
        """Whether too much is pending to take on more."""
        return len(self.pending) >= MOST_PENDING

    def readmit(self, index: int, *, attempts: int = 0) -> bool:
        """Make an event pending again that was delivered before, after a restart or from the dead letters.

        False if it can't be read any more.
        """
        frame = frame_at(self.namespace, index)
        if frame is None:
            return False
        self.pending.admit(index, id_of(frame), key=self._key_of(frame), attempts=attempts)
        return True

    def lose(self, first: int) -> list[Delivery]:
        """The log begins at *first* now: forget what is pending before it, and tell the members; returns that."""
        lost = self.pending.forget_before(first)
        missed = min([self.cursor, *(delivery.index for delivery in lost)])
        if self.cursor < first:
            self._feed.forget_fetched()
        if missed < first:
            self._tell_gap(Gap("expired", missed, first - 1, first))
        self._changed(self)
        self.pump_soon()
        return lost

    def _key_of(self, frame: bytes) -> str:
        return _keyed.decode(json_of(frame)).key if self._by_key else ""

    def _fetch_if_wanted(self) -> None:
        """Read on when what was fetched is used up and somebody has room; at the end wait for a commit."""
        if not self._feed.used_up or self.is_full or not any(member.room > 0 for member in self.members):
            return
        if self._feed.fetch():
            self.pump_soon()
        else:
            self.namespace.live.wait(self)

    def _tell_gap(self, gap: Gap) -> None:
        for member in self.members:
            member.tell_gap(gap)

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
        try:
            self._give_up(self.pending.expire(now=self._loop.time()))
            self._changed(self)
            self.pump_soon()
            self._arm()
        except Exception as error:
            self._fail(as_bus_error(error, f"timing out deliveries of {self!r}"))

    # -- the end

    def _finish_if_done(self, member: Member) -> None:
        if reason := member.finished:
            member.close()
            member.sink.end(reason)

    def is_done(self, member: Member, until: int) -> bool:
        """Whether all before *until* is settled, or in flight with somebody other than *member*."""
        return self.cursor >= until and not any(
            found.index < until and (found.state is not State.IN_FLIGHT or found.owner == member.consumer_id)
            for found in self.pending
        )

    def _fail(self, error: BusError) -> None:
        for member in list(self.members):
            member.close()
            member.sink.fail(error)

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

    def __repr__(self) -> str:
        return f"<Consumer {self.name or 'anonymous'} of {self.filter} at {self.cursor}, {len(self.pending)} pending>"
