"""A batch, all or none of it: pipelined with its place in the headers; the last one commits and is answered for all."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from bus.engine.checked_draft import CheckedDraft
from bus.engine.jetstream.error_mapping import BATCH_USED_KEY, publish_error
from bus.engine.jetstream.message import encode_event
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.publish_outcomes import Conditions, PublishOutcomes
from bus.errors import BusError, DuplicateKeyError
from bus.event import Receipt
from bus.nats import ApiError, JetStream, NatsError

_BATCH: Final = "Nats-Batch-Id"
_PLACE: Final = "Nats-Batch-Sequence"
_COMMIT: Final = "Nats-Batch-Commit"


class AtomicBatch:
    """*events* for the stream of *namespace*, to be stored under these *conditions*."""

    def __init__(self, namespace: str, events: Sequence[CheckedDraft], conditions: Conditions) -> None:
        self._namespace = namespace
        self._events = events
        self._conditions = conditions
        self._id = secrets.token_hex(8)

    async def store(
        self, jetstream: JetStream, naming: Naming, outcomes: PublishOutcomes
    ) -> Sequence[Receipt] | BusError:
        """Store them all, and return their receipts, or why none is stored."""
        keys = [event.key for event in self._events if event.key]
        if len(set(keys)) < len(keys):
            return DuplicateKeyError()
        try:
            self._send_all_but_last(jetstream, naming)
            last = self._events[-1]
            ack = await jetstream.store(
                naming.subject(last.subject.decode()), last.payload, headers=self._headers(len(self._events), last)
            )
        except ApiError as error:
            if error.err_code == BATCH_USED_KEY:
                return await outcomes.first_duplicate(self._events)
            return await outcomes.error_of(error, self._events[0], self._conditions)
        except NatsError as error:
            return publish_error(error, self._namespace)
        first = ack.seq - len(self._events) + 1
        return [outcomes.receipt(event, index) for index, event in enumerate(self._events, first)]

    def _send_all_but_last(self, jetstream: JetStream, naming: Naming) -> None:
        for place, event in enumerate(self._events[:-1], 1):
            jetstream.requests.cluster.publish(
                naming.subject(event.subject.decode()), event.payload, headers=self._headers(place, event)
            )

    def _headers(self, place: int, event: CheckedDraft) -> bytes:
        """What goes with the *event* at this *place*, from 1 on: the first has the conditions, the last commits."""
        more = {_BATCH: self._id, _PLACE: str(place)}
        if place == 1:
            more |= self._conditions
        if place == len(self._events):
            more[_COMMIT] = "1"
        return encode_event(event, more=more)

    def __repr__(self) -> str:
        return f"<AtomicBatch of {len(self._events)} events for {self._namespace}>"
