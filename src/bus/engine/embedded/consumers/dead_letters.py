"""Dead letters: what becomes of an event that a durable consumer gave up.

    given up ─▶ letter appended to the log ─▶ dead ──redrive──▶ pending again, attempts from 0
                (subject ns._dead_.name)       │ └───drop─────▶ forgotten; the letter stays readable
    its event is gone ─────────────────────────┘

Until its letter is stored, an event counts as pending: a crash in between delivers it again. An event that the
retention has deleted leaves no letter, only what is known of it; it is listed until it is dropped, because nobody can
get it again. So is one whose letter has gone as well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from bus.engine.administration import DeadLetter, Redriven
from bus.engine.base import Outcome, Settled
from bus.engine.consumer.consumer import Consumer
from bus.engine.consumer.dead_event import DELETED, dead_event, write_letter
from bus.engine.consumer.delivery import Delivery, GivenUp
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.embedded.consumers.durable_consumer import DurableConsumer
from bus.engine.embedded.log_namespace import LogNamespace
from bus.errors import BusError
from bus.event import Receipt
from bus.frame import read_frame
from bus.wire import Durability

log = logging.getLogger("bus.engine")

RETRY_SECONDS = 5.0
"""How long an event waits that couldn't be given up."""


class DeadLetters:
    """Writes letters to *namespaces* and sends dead events back.

    *changed* is told of every consumer whose state changed.
    """

    def __init__(self, namespaces: Mapping[str, LogNamespace], changed: Callable[[Consumer], None]) -> None:
        self._namespaces = namespaces
        self._changed = changed

    def bury(self, durable: DurableConsumer, gone: GivenUp, settled: Settled) -> None:
        """Append the letter of an event given up, and call *settled* when it is listed.

        If the letter can't be stored the event is pending again, and *settled* is told so.
        """
        index = gone.delivery.index
        durable.burying[index] = gone.delivery.attempts

        namespace = self._namespaces[durable.consumer.namespace.name]
        try:
            frame = namespace.frame(index)
            if frame is None:
                reason = DELETED if index < namespace.first else gone.reason
                self.record(durable, dead_event(gone.delivery, "", reason))
                settled(None)
                return
            if not frame:  # deleted: nothing is to be kept of it
                del durable.burying[index]
                settled(None)
                return
            letter = read_frame(frame)
            dead = dead_event(gone.delivery, letter.subject, gone.reason)
            burial = _Burial(self, durable, gone, dead, settled)
            # Even past a quota: what isn't settled is never deleted, and so would never make room.
            namespace.append(
                [write_letter(durable.namespace.name, durable.name, letter, dead)],
                burial,
                now=dead.time,
                past_quota=True,
            )
        except BusError as error:
            settled(self.keep(durable, gone, error))

    def keep(self, durable: DurableConsumer, gone: GivenUp, error: BusError) -> BusError:
        """Its letter isn't stored: go back to before the last attempt, so that it is made once more."""
        delivery = gone.delivery
        log.error("consumer %s: the dead letter of event %d is not stored: %s", durable.name, delivery.index, error)
        del durable.burying[delivery.index]
        durable.consumer.restore(KeptDelivery(delivery.index, max(delivery.attempts - 1, 0)), delay=RETRY_SECONDS)
        durable.consumer.pump_soon()
        return type(error)(
            f"event {delivery.event_id} is delivered again, for its dead letter can't be stored: {error}"
        )

    def record(self, durable: DurableConsumer, dead: DeadLetter) -> None:
        """*dead* is one of those that *durable* gave up."""
        durable.burying.pop(dead.index, None)
        durable.dead[dead.index] = dead
        self._changed(durable.consumer)

    def lose(self, durable: DurableConsumer, lost: Iterable[Delivery], subjects: Mapping[int, str]) -> None:
        """List events that retention has deleted before they were settled."""
        for delivery in lost:
            self.record(durable, dead_event(delivery, subjects.get(delivery.index, ""), DELETED))

    def redrive(self, durable: DurableConsumer, indexes: Iterable[int] | None) -> Redriven:
        """Make dead events pending again, or their letters where retention has deleted them."""
        chosen = durable.choose(indexes)
        sent = [dead.index for dead in chosen if _readmit(durable.consumer, dead)]
        self.drop(durable, sent)
        durable.consumer.pump_soon()
        return Redriven(len(sent), [dead.index for dead in chosen if dead.index in durable.dead])

    def drop(self, durable: DurableConsumer, indexes: Iterable[int] | None) -> int:
        """Forget dead events; returns how many."""
        chosen = durable.choose(indexes)
        for dead in chosen:
            del durable.dead[dead.index]
        self._changed(durable.consumer)
        return len(chosen)


@dataclass(frozen=True, slots=True)
class _Burial:
    """Waits for the letter of an event to be stored."""

    letters: DeadLetters
    durable: DurableConsumer
    gone: GivenUp
    dead: DeadLetter
    settled: Settled

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        (letter,) = (outcome.index for outcome in outcomes if isinstance(outcome, Receipt))
        self.letters.record(self.durable, msgspec.structs.replace(self.dead, letter=letter))
        self.settled(None)

    def failed(self, error: BusError) -> None:
        self.settled(self.letters.keep(self.durable, self.gone, error))


def _readmit(consumer: Consumer, dead: DeadLetter) -> bool:
    """Whether the event or its letter is left to be delivered."""
    return consumer.readmit(dead.index) or (dead.letter > 0 and consumer.readmit(dead.letter))
