"""A consumer under ``ack=manual``: one cursor and one set of pending deliveries, shared by its members.

A member is one connection. An anonymous consumer has exactly one and ends with it; a durable consumer has
a name, any number of members, and outlives them. Each turn hands every member with room in its window the
events that are ready, those that came back first, then new ones from the log.

While it is paused, or held because it is about to be moved, a turn hands out nothing; what members say, and deadlines,
are carried out as ever. A move forgets what is pending: events from the new place on are read again, as new ones.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import Final

from bus.engine.base import Acknowledge, Action, Gap, Settled, Sink, Subscribe
from bus.engine.consumer.alarm import Alarm
from bus.engine.consumer.all_settled import all_settled
from bus.engine.consumer.delivery import IN_FLIGHT, Delivery, GivenUp
from bus.engine.consumer.feed import Feed
from bus.engine.consumer.hand_out import HandOut
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.consumer.lag import Lag
from bus.engine.consumer.owner import ConsumerOwner
from bus.engine.consumer.past_events import PastEvents
from bus.engine.consumer.pending import Pending
from bus.engine.consumer.settlement import Settlement
from bus.engine.consumer.subscription import ConsumerSubscription
from bus.engine.consumer.terms import Terms
from bus.engine.guard import as_bus_error
from bus.engine.namespace import Namespace
from bus.engine.reading.log_cursor import LogCursor
from bus.engine.reading.start_position import StartPosition
from bus.errors import BusError, NotOwnerError, UnknownEventError

log = logging.getLogger("bus.engine")

LONGEST_SHOWN: Final = 200
"""Characters of a reason, which a worker may have written, that the log shows."""

TURN_EXPIRED: Final = 512
"""Deadlines that are looked at in one turn of the loop."""


TIMED_EVERY: Final = 0.01
"""Seconds between two acknowledgements that are timed at least."""


class Turn(Enum):
    """Whether a turn of the loop will hand out what there is."""

    NONE = "nothing to hand out that is known of"
    DUE = "at the end of this turn of the loop"
    NEVER = "closed"


ACK: Final = Action.ACK
NONE, DUE, NEVER = Turn
"""Names of their own: until Python 3.12, to look one up in its class takes longer than a step between them."""


class Consumer:
    """What its members have yet to get and to settle: events from *position* on, or what *feed* brings."""

    def __init__(
        self,
        namespace: Namespace,
        terms: Terms,
        position: StartPosition,
        *,
        name: str = "",
        loop: AbstractEventLoop,
        owner: ConsumerOwner,
        feed: Feed | None = None,
    ) -> None:
        self.namespace = namespace
        self.filter = terms.filter
        self.name = name
        self.pending = Pending(redelivery=terms.redelivery, limit=terms.redelivery_count, shared=name != "")
        self.subscriptions: list[ConsumerSubscription] = []
        self.paused = self.held = False
        self._loop = loop
        self._owner = owner
        self._past = PastEvents(namespace, position.index)
        self._log: LogCursor | None = None
        if feed is None:
            feed = self._log = self._log_from(position, terms)
        self._out = HandOut(
            namespace, self.pending, terms.filter, feed,
            by_key=terms.by_key, given_up=lambda gone: self.give_up([gone]),
        )  # fmt: skip
        self.lag = Lag(namespace, terms.filter, self._out.feed)
        self._alarm = Alarm(loop, self._expire)
        self._rests = False
        self._awaits_newest = False
        self._timed_from = 0.0
        self._turn = NONE

    def _log_from(self, position: StartPosition, terms: Terms) -> LogCursor:
        return LogCursor(
            self.namespace, terms.filter, position.index, newest_until=position.newest_until, missed=self._tell_gap
        )

    @property
    def cursor(self) -> int:
        """The index it goes on from: everything before is settled or pending."""
        return self._out.cursor

    @property
    def newest_until(self) -> int:
        """The index before which it gets only the newest event of each subject; 0 if it has come past that."""
        return self._out.feed.newest_until

    @property
    def is_full(self) -> bool:
        """Whether too much is pending to take on more."""
        return self._out.is_full

    @property
    def delivered(self) -> int:
        """How many deliveries there were, since the server started or its terms changed."""
        return self._out.handed

    @property
    def redelivered(self) -> int:
        """How many of them were of events that had come back."""
        return self._out.handed_again

    # -- members

    def join(self, wanted: Subscribe, sink: Sink, gap: Gap | None = None) -> ConsumerSubscription:
        """Add a connection; it gets nothing before its ``start``."""
        subscription = ConsumerSubscription(self, wanted, sink, gap, now=self._loop.time())
        self.subscriptions.append(subscription)
        log.debug("consumer %s: joined by %s", self.name or "without a name", subscription.consumer_id)
        return subscription

    def leave(self, subscription: ConsumerSubscription) -> None:
        """The connection is gone: what it had in flight goes to the others at once."""
        if subscription not in self.subscriptions:
            return
        self.subscriptions.remove(subscription)
        log.debug(
            "consumer %s: left by %s, %d in flight",
            self.name or "without a name", subscription.consumer_id, subscription.in_flight,
        )  # fmt: skip
        if self._turn is NEVER:
            self.pending.recall(subscription.window)
        else:
            self.pending.release(subscription.window, now=self._loop.time())
        self._owner.left(subscription)
        self._owner.changed(self)
        self.pump_soon()

    # -- what members say

    def settle(self, subscription: ConsumerSubscription, ack: Acknowledge) -> Settlement:
        """Carry out *ack* for each of its events that it can be carried out for. An id may be named twice, for
        two events that have it."""
        now = self._loop.time()
        done = Settlement()
        if now >= self._timed_from:
            self._time(subscription, ack, now)
        self.pending.windows.hear(subscription.window, now=now)
        for place, event_id in enumerate(ack.event_ids):
            try:
                done.carry_out(ack, event_id, subscription.window, self.pending, now=now)
            except NotOwnerError as error:
                done.refused.append(error)
            except UnknownEventError as error:
                if event_id not in ack.event_ids[:place]:
                    done.refused.extend(self._past.refusal(event_id, error, cursor=self.cursor))
        self._owner.changed(self)
        if not (self._rests and ack.action is ACK and self.pending.none_ready):
            self.pump_soon()
        return done

    def _time(self, subscription: ConsumerSubscription, ack: Acknowledge, now: float) -> None:
        """Note how long ago the first event of *ack* was delivered, if it is in flight."""
        since = self.pending.delivered_at(ack.event_ids[0], subscription.window) if ack.action is ACK else None
        if since is not None:
            self._timed_from = now + TIMED_EVERY
            self.namespace.latencies.ack.observe(now - since)

    def conclude(self, done: Settlement, settled: Settled) -> None:
        """Call *settled* when what was carried out is kept."""
        if done.given_up:
            self.give_up(done.given_up, settled)
        else:
            self._owner.acknowledged(self, done.acknowledged, settled)

    def give_up(self, given_up: Sequence[GivenUp], settled: Settled = lambda error: None) -> None:
        """Let everybody know who has to; call *settled* when that is done, with what kept it from being done."""
        each = all_settled(len(given_up), settled)
        for gone in given_up:
            delivery = gone.delivery
            log.debug(
                "consumer %s: event %d given up after %d attempts: %a",
                self.name or "without a name", delivery.index, delivery.attempts, gone.reason[:LONGEST_SHOWN],
            )  # fmt: skip
            self._past.give_up(delivery.event_id)
            self._owner.given_up(self, gone, each)

    # -- events that come back

    def readmit(self, index: int) -> bool:
        """Deliver the event at *index* again, with attempts counted from 1; False if it is gone or has expired."""
        return self._out.readmit(index)

    def restore(self, kept: KeptDelivery, *, delay: float) -> bool:
        """Take up a delivery where it was, *delay* seconds before it is due; False if its event isn't in the log."""
        return self._out.restore(kept, now=self._loop.time(), delay=delay)

    def lose(self, first: int) -> list[Delivery]:
        """The log begins at *first* now: forget what is pending before it, and tell the members; returns that."""
        lost = self.pending.forget_before(first)
        missed = min([self.cursor, *(delivery.index for delivery in lost)])
        if self.cursor < first:
            self._out.feed.forget_fetched()
        if missed < first:
            self._tell_gap(Gap("expired", missed, first - 1, first))
        self._owner.changed(self)
        self.pump_soon()
        return lost

    # -- what is done to it

    def pause(self) -> None:
        """Hand out nothing from now on; what is in flight may be settled."""
        self.paused = True

    def resume(self) -> None:
        """Hand out again."""
        self.paused = False
        self.pump_soon()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hand out nothing while it is found out what a move means, be it paused or not."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
            self.pump_soon()

    def move(self, index: int) -> None:
        """Forget what is pending and go on from *index*; events from there on are delivered again."""
        assert self._log, "what somebody else hands out is moved there"
        self.pending.forget_before(self.namespace.next)
        self._log.move(index)
        self._past.move(index)
        self._owner.changed(self)
        self.pump_soon()

    def look_again(self) -> None:
        """Events were deleted: what was read ahead, and counted, may be among them."""
        self._out.feed.look_again()
        self._owner.changed(self)
        self.pump_soon()

    # -- handing out

    def wake(self) -> None:
        self.pump_soon()

    def pump_soon(self) -> None:
        """Hand out what there is at the end of this turn of the loop."""
        if self._turn is NONE and self.subscriptions:
            self._turn = DUE
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        if self._turn is NEVER:
            return
        self._turn, self._rests = NONE, False
        self._guard(self._hand_out)
        self._arm()

    def _hand_out(self) -> None:
        if not (self.paused or self.held):
            self._serve()
        for subscription in list(self.subscriptions):
            self._finish_if_done(subscription)

    def _serve(self) -> None:
        out = self._out
        if self.namespace.reads_later and (coming := out.bring(self.subscriptions)):
            coming.add_done_callback(lambda _: self.pump_soon())
            return
        before = out.handed, len(self.pending)
        if not out.is_at_end and out.wants_new(self.subscriptions):
            out.fetch()
        unfinished = out.serve(self.subscriptions, now=self._loop.time())
        if before != (out.handed, len(self.pending)):
            self._owner.changed(self)
        if unfinished:
            self.pump_soon()
        elif out.wants_new(self.subscriptions):
            self._wait_for_more()

    def _wait_for_more(self) -> None:
        """Go on in the next turn, or with the next commit if there is no more in the log.

        Until then there is nothing to be done for whoever acknowledges, unless its stream ends with that.
        """
        if self._out.is_at_end:
            self._rests = not any(subscription.is_bounded for subscription in self.subscriptions)
            self.namespace.live.wait(self)
        elif not self._out.feed.waits:
            self.pump_soon()
        elif not self._awaits_newest:
            self._awaits_newest = True
            self._out.feed.await_newest(self._newest_known)

    def _newest_known(self) -> None:
        self._awaits_newest = False
        self.pump_soon()

    def _tell_gap(self, gap: Gap) -> None:
        for subscription in self.subscriptions:
            subscription.tell_gap(gap)

    def _expire(self) -> None:
        self._guard(self._end_attempts)
        self._owner.changed(self)
        self.pump_soon()
        self._arm()

    def _end_attempts(self) -> None:
        self.give_up(self.pending.expire(now=self._loop.time(), most=TURN_EXPIRED))

    def _arm(self) -> None:
        if self._turn is not NEVER:
            self._alarm.set(self.pending.next_due)

    def _guard(self, work: Callable[[], None]) -> None:
        """Whatever goes wrong ends the streams of this consumer, and is nobody else's matter."""
        try:
            work()
        except Exception as error:
            self._fail(as_bus_error(error, f"delivering by {self!r}"))

    # -- the end

    def _finish_if_done(self, subscription: ConsumerSubscription) -> None:
        if reason := subscription.finished:
            subscription.close()
            subscription.sink.end(reason)

    def is_done(self, subscription: ConsumerSubscription, until: int) -> bool:
        """Whether all before *until* is settled, or in flight with somebody other than *subscription*."""
        return (
            self.cursor >= until
            and not subscription.window.flying
            and all(found.index >= until or found.state is IN_FLIGHT for found in self.pending)
        )

    def _fail(self, error: BusError) -> None:
        for sink in self._left_sinks():
            sink.fail(error)

    def end(self, reason: str) -> None:
        """End the streams of all members."""
        for sink in self._left_sinks():
            sink.end(reason)

    def interrupt(self, why: str) -> None:
        """Break off the streams of all members, so that they subscribe again."""
        for sink in self._left_sinks():
            sink.interrupt(why)

    def _left_sinks(self) -> Iterator[Sink]:
        """The sink of each member, which has left by then."""
        for subscription in list(self.subscriptions):
            subscription.close()
            yield subscription.sink

    def close(self) -> None:
        """Stop waiting and timing; nothing is delivered any more. Connections that end now are ended by the server."""
        self._turn = NEVER
        self.namespace.live.forget(self)
        self._alarm.stop()

    def __repr__(self) -> str:
        return f"<Consumer {self.name or 'anonymous'} of {self.filter} at {self.cursor}, {len(self.pending)} pending>"
