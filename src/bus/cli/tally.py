"""How much work was done, and how fast: a line for a person, nothing for a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from bus.cli.console import note, progress
from bus.units import format_duration


@contextmanager
def tally(done: str) -> Iterator[Callable[[int], int]]:
    """Count events while the block runs, and say on a terminal what was *done* when it ends well.

    Gives a function that takes how many more are done, and returns how many in all.
    """
    total, begun = 0, monotonic()

    def add(events: int) -> int:
        nonlocal total
        total += events
        return total

    yield add
    if sys.stderr.isatty():
        seconds = max(monotonic() - begun, 0.001)
        note(f"{done} {total:,} events in {format_duration(round(seconds, 2))}, {total / seconds:,.0f}/s")


@contextmanager
def counting(title: str, done: str, *, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far the work *title* is, and at its end what was *done*; gives what is told of more events."""
    with tally(done) as add, progress(title, total=total, unit="events") as show:
        yield lambda events: show(add(events))
