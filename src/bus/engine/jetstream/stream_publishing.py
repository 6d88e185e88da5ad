"""Publishing to a stream: one event, several each by itself, or all or none.

    one, atomic     $JS publish ───────────────────────────────▶ PubAck
    several         pipelined, an outcome each, in their order
    all or none     `AtomicBatch` ─▶ one PubAck, of the last

No leader is certain to have stored nothing: one event is then sent again until `PATIENCE` is over. No answer is not
certain. An event that JetStream knows again, by its message id, is sent again as well: what was stored the first time
isn't stored twice, and says where it is. The publisher of another hears that it may be stored. Several events are sent
once, for more would change their order.
"""

from __future__ import annotations

import secrets
from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from bus.engine.base import Expected, Outcome, Publisher
from bus.engine.checked_draft import CheckedDraft, check_draft, only_subject
from bus.engine.guard import as_bus_error
from bus.engine.jetstream.atomic_batch import AtomicBatch
from bus.engine.jetstream.error_mapping import publish_error
from bus.engine.jetstream.message import MESSAGE_ID, encode_event
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.publish_attempt import PATIENCE, Attempt
from bus.engine.jetstream.publish_outcomes import Conditions, PublishOutcomes, conditions_of
from bus.engine.separate_events import Outcomes
from bus.errors import BusError, InvalidEventError, OverloadedError
from bus.event import Draft
from bus.latency import Latency
from bus.nats import JetStream, NatsError, PubAck, UnknownOutcomeError
from bus.wire import Durability

LONGEST_WINDOW_OF_ALL = 300.0
"""Up to which window for duplicates, in seconds, every event has a message id: each takes memory of each node."""

WINDOW = 16_384
"""Events of a namespace that may be on their way."""

MOST_EVENTS = 16_384
"""Events of a batch, if JetStream takes as many."""


class StreamPublishing:
    """Publishes to the stream of *namespace*, whose receipts say *durability*; *published* hears how long it took."""

    def __init__(
        self,
        jetstream: JetStream,
        naming: Naming,
        namespace: str,
        *,
        make_id: Callable[[int], str],
        window: float,
        durability: Durability,
        published: Latency,
        loop: AbstractEventLoop,
    ) -> None:
        """*window* is for how many seconds the stream knows a message id."""
        self.under_way = 0
        self.idle: Callable[[], None] | None = None
        self._published = published
        self._jetstream = jetstream
        self._naming = naming
        self._namespace = namespace
        self._outcomes = PublishOutcomes(jetstream, naming, namespace, make_id=make_id)
        self._durability = durability
        self._names_all = window <= LONGEST_WINDOW_OF_ALL
        self._loop = loop
        self._tasks: set[Task[None]] = set()

    # -- what is asked for

    def publish(self, drafts: Sequence[Draft], publisher: Publisher, expected: Expected | None, *, now: int) -> None:
        """All of *drafts* or none, if the stream ends as is *expected*."""
        if len(drafts) > MOST_EVENTS:
            raise InvalidEventError(f"the batch holds {len(drafts)} events: {MOST_EVENTS} is the most")
        events = [check_draft(draft, now=now) for draft in drafts]
        if expected and expected.last_of_subject is not None:
            only_subject(events)
        conditions = conditions_of(expected)
        self._begin(len(events))
        if len(events) == 1:
            begun = self._loop.time()
            told = partial(self._tell_one, publisher, begun)
            headers = self._named(events[0], conditions)
            self._send(Attempt(events[0], told, headers, until=begun + PATIENCE, key_until=begun + PATIENCE))
        else:
            self._spawn(self._publish_batch(events, publisher, conditions))

    def _named(self, event: CheckedDraft, conditions: Conditions) -> Conditions:
        """*conditions*, and a message id for an *event* without one if every event is to have one."""
        if event.key or not self._names_all:
            return conditions
        return {**conditions, MESSAGE_ID: secrets.token_hex(8)}

    def publish_each(self, drafts: Sequence[Draft], publisher: Publisher, *, now: int) -> None:
        """Each of *drafts* by itself, in their order."""
        self._begin(len(drafts))
        outcomes = Outcomes(len(drafts), publisher, self._durability)
        for place, draft in enumerate(drafts):
            self._publish_at(place, draft, outcomes, now)

    def _publish_at(self, place: int, draft: Draft, outcomes: Outcomes, now: int) -> None:
        def told(outcome: Outcome) -> None:
            self._end(1)
            outcomes.put([place], [outcome])

        try:
            event = check_draft(draft, now=now)
            self._send(Attempt(event, told, {}, until=0.0, key_until=self._loop.time() + PATIENCE))
        except Exception as error:
            told(as_bus_error(error, "publishing an event"))

    def _begin(self, events: int) -> None:
        if self.under_way and self.under_way + events > WINDOW:
            raise OverloadedError(f"namespace {self._namespace} has {self.under_way} events on their way: try again")
        self.under_way += events

    def _end(self, events: int) -> None:
        self.under_way -= events
        if not self.under_way and self.idle:
            self.idle()

    # -- one event

    def _send(self, attempt: Attempt) -> None:
        """Store the event, and tell what became of it."""
        event = attempt.event

        def done(answer: PubAck | NatsError) -> None:
            if isinstance(answer, PubAck) and not answer.duplicate:
                attempt.told(self._outcomes.receipt(event, answer.seq))
            else:
                self._look_into(answer, attempt)

        self._jetstream.publish(
            self._naming.subject(event.subject.decode()), event.payload, done,
            headers=encode_event(event, more=attempt.headers),
            seconds=attempt.seconds,
        )  # fmt: skip

    def _look_into(self, answer: PubAck | NatsError, attempt: Attempt) -> None:
        """*answer* is no receipt: send the event again, or say what it means."""
        pause = attempt.pause_after(answer, now=self._loop.time())
        attempt = attempt.after(answer)
        if pause is None:
            self._spawn(self._explain(answer, attempt))
        else:
            self._loop.call_later(pause, self._send_again, attempt)

    def _send_again(self, attempt: Attempt) -> None:
        try:
            self._send(attempt)
        except Exception as error:
            attempt.told(as_bus_error(error, "publishing an event"))

    async def _explain(self, answer: PubAck | NatsError, attempt: Attempt) -> None:
        try:
            explain = self._outcomes.outcome_of if attempt.unconfirmed else self._outcomes.error_of
            outcome: Outcome = await explain(answer, attempt.event, attempt.headers)
        except NatsError as error:
            outcome = publish_error(UnknownOutcomeError(str(error)), self._namespace)
        except Exception as error:
            outcome = as_bus_error(error, "publishing an event")
        attempt.told(outcome)

    def _tell_one(self, publisher: Publisher, begun: float, outcome: Outcome) -> None:
        """Tell the *publisher* of one event, which came at *begun*, what became of it."""
        self._end(1)
        self._published.observe(self._loop.time() - begun)
        if isinstance(outcome, BusError):
            publisher.failed(outcome)
        else:
            self._tell_stored([outcome], publisher)

    def _tell_stored(self, outcomes: Sequence[Outcome], publisher: Publisher) -> None:
        try:
            publisher.stored(outcomes, self._durability)
        except Exception as error:
            publisher.failed(as_bus_error(error, "answering a publisher"))

    # -- all or none

    async def _publish_batch(
        self, events: Sequence[CheckedDraft], publisher: Publisher, conditions: Conditions
    ) -> None:
        batch = AtomicBatch(self._namespace, events, conditions)
        try:
            stored = await batch.store(self._jetstream, self._naming, self._outcomes)
        except Exception as error:
            stored = as_bus_error(error, "publishing a batch")
        self._end(len(events))
        if isinstance(stored, BusError):
            publisher.failed(stored)
        else:
            self._tell_stored(stored, publisher)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def __repr__(self) -> str:
        return f"<StreamPublishing to {self._namespace}, {self.under_way} events under way>"
