"""A scheduled event: what is to be published, when, and how often."""

from __future__ import annotations

import secrets
from enum import StrEnum

import msgspec

from bus.engine.embedded.schedules.recurrence import Recurrence
from bus.event import Draft
from bus.units import SECOND_NS

_draft_decoder = msgspec.json.Decoder(Draft)

LATE_SECONDS = 60
"""From how late on an event is late: the server was down when it was due, or its log took no events."""


class Late(StrEnum):
    """What becomes of a recurring event that is late: it is appended once, or skipped until its next time."""

    ONCE = "once"
    SKIP = "skip"


class KeptSchedule(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that waits. ``due`` is in ns since the epoch, ``draft`` the event's JSON.

    Without ``cron`` it is due once.
    """

    id: str
    due: int
    draft: bytes
    cron: str = ""
    time_zone: str = ""
    late: Late = Late.ONCE

    @property
    def recurs(self) -> bool:
        """Whether it is due more than once."""
        return bool(self.cron)

    def event(self) -> Draft:
        """The event that is due now, with the id by which it is found in the log."""
        draft = _draft_decoder.decode(self.draft)
        draft.id = f"{self.id}-{self.due // SECOND_NS}" if self.recurs else draft.id or self.id
        return draft

    def following(self, *, now: int) -> KeptSchedule | None:
        """The schedule for the next time after now and after its own; None if there is none."""
        if not self.recurs:
            return None
        due = Recurrence(self.cron, self.time_zone).next_after(max(now, self.due))
        return msgspec.structs.replace(self, due=due) if due else None

    def is_skipped(self, *, now: int) -> bool:
        """Whether it is so late that it isn't appended any more."""
        return self.recurs and self.late is Late.SKIP and now - self.due > LATE_SECONDS * SECOND_NS


def new_schedule_id() -> str:
    """An id for an event that is due once."""
    return f"s_{secrets.token_hex(12)}"
