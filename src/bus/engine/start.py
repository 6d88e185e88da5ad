"""How somebody says where in a log to begin: a name, an event, an index or a time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StartKind(StrEnum):
    """How a subscription says where it begins."""

    OLDEST = "oldest"
    NEWEST = "newest"
    AFTER = "after"
    INDEX = "index"
    TIME = "time"
    BACK = "back"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where a subscription begins; ``event_id``, ``index`` and ``time`` (ns) belong to their kinds.

    With ``BACK`` it is so many ``events`` before the end, of those that the subscription takes. With ``LAST`` the
    newest event of each subject that it takes comes first, and then whatever is published.
    """

    kind: StartKind
    event_id: str = ""
    index: int = 0
    time: int = 0
    events: int = 0


NEWEST = StartPoint(StartKind.NEWEST)
