"""An event that a durable consumer gave up, and the letter that is kept of it."""

from __future__ import annotations

import time

from bus.engine.administration import DeadLetter
from bus.engine.checked_draft import CheckedDraft
from bus.engine.consumer.delivery import Delivery
from bus.frame import encode_extra
from bus.frame_fields import FrameFields
from bus.subject import DEAD_SEGMENT

DELETED = "deleted by retention"
"""Why an event is given up that retention has deleted."""


def dead_event(delivery: Delivery, subject: str, reason: str) -> DeadLetter:
    """What becomes of a delivery that is given up now, before there is a letter."""
    return DeadLetter(delivery.index, delivery.event_id, subject, delivery.attempts, reason, time.time_ns())


def write_letter(namespace: str, consumer: str, letter: FrameFields, dead: DeadLetter) -> CheckedDraft:
    """The letter: the event's payload under the consumer's dead-letter subject, with what befell it."""
    about = {
        "consumer": consumer,
        "id": dead.event_id,
        "subject": dead.subject,
        "index": dead.index,
        "attempts": dead.attempts,
        "reason": dead.reason,
    }
    return CheckedDraft(
        subject=f"{namespace}.{DEAD_SEGMENT}.{consumer}".encode(),
        payload=bytes(letter.payload),
        time=dead.time,
        extra=encode_extra(trace_id=letter.trace_id, headers=letter.headers, dead=about),
        core=False,
    )
