"""Names for inboxes that nobody guesses: who knows one may answer whoever waits there."""

from __future__ import annotations

import os
from typing import Final

from bus.subject import INBOX_NAMESPACE

NAME_BYTES: Final = 12
DRAWN_TOGETHER: Final = 256
"""Names for which randomness is drawn at once: a call of the system for each takes longer than all the rest of it."""


class InboxNames:
    """Makes names, of which none comes again."""

    __slots__ = ("_at", "_drawn")

    def __init__(self) -> None:
        self._drawn = ""
        self._at = 0

    def make(self) -> str:
        """A new name."""
        begin = self._at
        if begin == len(self._drawn):
            self._drawn, begin = os.urandom(NAME_BYTES * DRAWN_TOGETHER).hex(), 0
        self._at = end = begin + 2 * NAME_BYTES
        return f"{INBOX_NAMESPACE}.{self._drawn[begin:end]}"

    def __repr__(self) -> str:
        return f"<InboxNames, {(len(self._drawn) - self._at) // (2 * NAME_BYTES)} drawn>"
