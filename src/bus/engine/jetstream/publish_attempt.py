"""One event on its way to a stream, and when it is sent again.

sent ──PubAck──────────────────────────────────▶ told
  ▲ └──no leader, no answer, key on its way──┐
  └────────────── a pause ◀──────────────────┘    until its time is over
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bus.engine.base import Outcome
from bus.engine.checked_draft import CheckedDraft
from bus.engine.jetstream.error_mapping import ID_UNDER_WAY
from bus.engine.jetstream.message import MESSAGE_ID
from bus.engine.jetstream.publish_outcomes import Conditions
from bus.nats import (
    PUBLISH_SECONDS,
    ApiError,
    DisconnectedError,
    NatsError,
    NoRespondersError,
    PubAck,
    UnknownOutcomeError,
)

PATIENCE = 12.0
"""Seconds for which one event is sent again: without a leader, an answer, or while one with its key is on its way."""

ANSWER_SECONDS = 2.0
"""After which an event that is known again is sent again. A leader that steps down drops what it has been sent."""

PAUSE = 0.1
UNDER_WAY_PAUSE = 0.002
"""Seconds until it is sent again: after any failure, and while an event with the same key is on its way."""

Told = Callable[[Outcome], None]


@dataclass(frozen=True, slots=True)
class Attempt:
    """An event on its way, with the *headers* that aren't its own.

    Until these times of the loop it is sent again: ``until`` if there is no leader or no answer, ``key_until`` while
    another event with its key is on its way. It may be stored by now if it is ``unconfirmed``.
    """

    event: CheckedDraft
    told: Told
    headers: Conditions
    until: float
    key_until: float
    unconfirmed: bool = False

    @property
    def is_known_again(self) -> bool:
        """Whether JetStream doesn't store it twice."""
        return self.event.key is not None or MESSAGE_ID in self.headers

    @property
    def seconds(self) -> float:
        """For how long an answer is waited for."""
        return ANSWER_SECONDS if self.until and self.is_known_again else PUBLISH_SECONDS

    def after(self, answer: PubAck | NatsError) -> Attempt:
        """What is known of it once it had this *answer*."""
        return replace(self, unconfirmed=True) if isinstance(answer, UnknownOutcomeError) else self

    def pause_after(self, answer: PubAck | NatsError, *, now: float) -> float | None:
        """Seconds until it is to be sent again, None if *answer* is the last."""
        if isinstance(answer, ApiError) and answer.err_code == ID_UNDER_WAY and now < self.key_until:
            return PAUSE if self.unconfirmed else UNDER_WAY_PAUSE
        if now >= self.until:
            return None
        if isinstance(answer, NoRespondersError) or (isinstance(answer, DisconnectedError) and self.unconfirmed):
            return PAUSE
        return PAUSE if isinstance(answer, UnknownOutcomeError) and self.is_known_again else None
