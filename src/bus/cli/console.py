"""What the command says to the person or the pipe that runs it.

Results go to standard output, everything else to standard error, so that a pipe carries results alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OutputClosedError(Exception):
    """Whoever read standard output went away, as ``head`` does when it has what it wanted."""


def emit(line: bytes) -> None:
    """Write one line of result to standard output, at once. Raises `OutputClosedError`."""
    write(line + b"\n")


def write(lines: bytes) -> None:
    """Write whole lines of result to standard output, at once. Raises `OutputClosedError`."""
    try:
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter would try once more as it exits and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputClosedError from None


def note(line: str) -> None:
    """Write one line to standard error, marked as ours."""
    print(f"bus: {' '.join(line.split())}", file=sys.stderr, flush=True)


def complain(line: str, *, status: int = 1) -> int:
    """Write one line to standard error and return the exit *status* that goes with it."""
    note(line)
    return status


@contextmanager
def progress(title: str, *, total: int | None, unit: str = "bytes") -> Iterator[Callable[[int], None]]:
    """Show how far long work is, how fast it goes and how long it will take while the block runs; in a pipe, nothing.

    Gives a function that takes how much is done so far, in *unit*; *total* is None when nobody knows it.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    # Imported late, because only a terminal needs it and it is slow to load.
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    amount: tuple[ProgressColumn, ...] = DownloadColumn(), SpeedColumn()
    if unit != "bytes":
        amount = TextColumn(f"{{task.completed:,.0f}} {unit}"), TextColumn("{task.fields[rate]:,.0f}/s")
    columns = TextColumn("{task.description}"), BarColumn(), *amount, TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, rate=0.0)
        begun = time.monotonic()
        yield lambda done: bar.update(task, completed=done, rate=done / max(time.monotonic() - begun, 0.001))
