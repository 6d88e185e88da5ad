"""Dead letters: what becomes of an event that a durable consumer gave up.

    given up ─▶ letter appended to the log ─▶ dead ──redrive──▶ pending again, attempts from 0
                (subject ns._dead_.name)        └───drop─────▶ forgotten; the letter stays readable

Until its letter is stored, an event counts as pending: a crash in between delivers it again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bus.engine.consumer import Consumer
from bus.engine.durable import Durable
from bus.engine.gathering import Checked
from bus.engine.pending import GivenUp
from bus.engine.position import frame_at
from bus.engine.store import Dead
from bus.errors import BusError
from bus.event import Receipt
from bus.subject import DEAD_SEGMENT
from bus.wire import encode_extra, json_of

log = logging.getLogger("bus.engine")


class _Letter(msgspec.Struct):
    subject: str
    payload: msgspec.Raw
    trace_id: str = ""


_letter = msgspec.json.Decoder(_Letter)


class DeadLetters:
    """Writes letters and sends dead events back. *changed* is told of every consumer whose state changed."""

    def __init__(self, changed: Callable[[Consumer], None]) -> None:
        self._changed = changed

    def bury(self, durable: Durable, gone: GivenUp) -> None:
        """Append the letter of an event given up."""
        index = gone.delivery.index
        namespace = durable.consumer.namespace
        durable.burying[index] = gone.delivery.attempts
        frame = frame_at(namespace, index)
        if frame is None:
            self._buried(durable, index, None)
            return
        letter = _letter.decode(json_of(frame))
        dead = _dead(gone, letter, now=time.time_ns())

        def published(receipts: Sequence[Receipt], error: BusError | None) -> None:
            if error:
                log.error("consumer %s: the dead letter of event %d is not stored: %s", durable.name, index, error)
            else:
                self._buried(durable, index, msgspec.structs.replace(dead, letter=receipts[0].index))

        try:
            namespace.append([_address(durable.consumer, letter, dead)], published, now=dead.time)
        except BusError as error:
            published((), error)

    def _buried(self, durable: Durable, index: int, dead: Dead | None) -> None:
        durable.burying.pop(index, None)
        if dead:
            durable.dead[index] = dead
        self._changed(durable.consumer)

    def redrive(self, durable: Durable, indexes: Iterable[int] | None) -> int:
        """Make dead events pending again, or their letters where the log has let go of them; returns how many."""
        chosen = durable.choose(indexes)
        first = durable.consumer.namespace.first
        for dead in chosen:
            durable.consumer.readmit(dead.index if dead.index >= first else dead.letter)
        self.drop(durable, [dead.index for dead in chosen])
        durable.consumer.pump_soon()
        return len(chosen)

    def drop(self, durable: Durable, indexes: Iterable[int] | None) -> int:
        """Forget dead events; returns how many."""
        chosen = durable.choose(indexes)
        for dead in chosen:
            del durable.dead[dead.index]
        self._changed(durable.consumer)
        return len(chosen)


def _dead(gone: GivenUp, letter: _Letter, *, now: int) -> Dead:
    delivery = gone.delivery
    return Dead(delivery.index, 0, delivery.event_id, letter.subject, delivery.attempts, gone.reason, now)


def _address(consumer: Consumer, letter: _Letter, dead: Dead) -> Checked:
    """The letter: the event's payload under the consumer's dead-letter subject, with what befell it."""
    about = {
        "consumer": consumer.name,
        "id": dead.event_id,
        "subject": dead.subject,
        "index": dead.index,
        "attempts": dead.attempts,
        "reason": dead.reason,
    }
    return Checked(
        subject=f"{consumer.namespace.name}.{DEAD_SEGMENT}.{consumer.name}".encode(),
        payload=bytes(letter.payload),
        event_id="",
        time=dead.time,
        extra=encode_extra(trace_id=letter.trace_id, dead=about),
        key=None,
    )
