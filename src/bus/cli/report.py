"""How much work was done, and how fast: a line for a person, nothing for a pipe."""

from __future__ import annotations

import sys
from time import monotonic
from types import TracebackType
from typing import Self

from bus.cli.console import note
from bus.units import format_duration


class Tally:
    """Counts events while the block runs, and says on a terminal what was *done* when it ends well."""

    def __init__(self, done: str) -> None:
        self.events = 0
        self._done = done
        self._begun = monotonic()

    def add(self, events: int) -> int:
        """So many more are done; returns how many in all."""
        self.events += events
        return self.events

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and sys.stderr.isatty():
            seconds = max(monotonic() - self._begun, 0.001)
            note(f"{self._done} {self.events:,} events in {format_duration(round(seconds, 2))}, "
                 f"{self.events / seconds:,.0f}/s")  # fmt: skip

    def __repr__(self) -> str:
        return f"<Tally {self._done} {self.events} events>"
