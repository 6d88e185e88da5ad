"""What the command says to the person or the pipe that runs it.

Results go to standard output, everything else to standard error, so that a pipe carries results alone.

Much of what is said was written by others: subjects, payloads, reasons, what a server answers. A terminal obeys some
characters instead of showing them, so everything that is written for a person goes through `printable`. Into a pipe
or a file, results go as they are.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bus.errors import BusError

_OBEYED = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for the tab, what ends a line or turns the direction of text, and halves of characters."""


_LONGEST_NOTE = 2000
"""Characters of a line on standard error, which may be about megabytes that a server sent."""


class OutputClosedError(Exception):
    """Whoever read standard output went away, as ``head`` does when it has what it wanted."""


def printable(text: str) -> str:
    """*text* with what a terminal would obey as JSON escapes, so that JSON stays JSON: ``\\u001b``."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def emit(line: bytes) -> None:
    """Write one line of result to standard output, at once. Raises what `write` does."""
    write(line + b"\n")


def say(line: str) -> None:
    """Write one line that is for a person to standard output. Raises what `write` does."""
    _write_all(printable(line).encode() + b"\n")


def write(lines: bytes) -> None:
    """Write whole lines of result to standard output, at once: as they are, unless it is a terminal.

    Raises `OutputClosedError` when nobody reads them any more, `BusError` when they can't be written.
    """
    if sys.stdout.isatty():
        lines = b"".join(printable(line).encode() + b"\n" for line in lines.decode("utf-8", "replace").split("\n")[:-1])
    _write_all(lines)


def _write_all(data: bytes) -> None:
    """Past Python's buffer, which would try once more at the end to write what could not be written."""
    with writing():
        number, rest = sys.stdout.fileno(), memoryview(data)
        while rest:
            try:
                rest = rest[os.write(number, rest) :]
            except BlockingIOError:  # whoever shares the terminal or the pipe made it so
                select.select([], [number], [])


@contextmanager
def writing() -> Iterator[None]:
    """While the block writes to standard output, turn what goes wrong into what `write` raises."""
    try:
        yield
    except OSError as error:
        forget_output()
        if isinstance(error, BrokenPipeError):
            raise OutputClosedError from None
        raise BusError(f"standard output can't be written: {reason(error)}") from None


def forget_output() -> None:
    """Drop what is still buffered, or the interpreter would try once more as it exits and complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def reason(error: OSError) -> str:
    """What the operating system says of *error*, without its number."""
    return error.strerror or str(error) or type(error).__name__


def note(line: str) -> None:
    """Write one line to standard error, marked as ours. If that can't be written, nobody can be told so."""
    text = " ".join(line[: 2 * _LONGEST_NOTE].split())
    if len(text) > _LONGEST_NOTE:
        text = f"{text[:_LONGEST_NOTE]}…"
    with suppress(OSError):
        print(f"bus: {printable(text)}", file=sys.stderr, flush=True)


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
    columns = TextColumn("{task.description}", markup=False), BarColumn(), *amount, TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(title), total=total, rate=0.0)
        begun = time.monotonic()
        yield lambda done: bar.update(task, completed=done, rate=done / max(time.monotonic() - begun, 0.001))
