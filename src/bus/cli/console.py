"""What the command says to the person or the pipe that runs it."""

from __future__ import annotations

import os
import sys


def complain(line: str, *, status: int = 1) -> int:
    """Write one line to standard error and return the exit *status* that goes with it."""
    note(line)
    return status


def note(line: str) -> None:
    """Write one line to standard error, marked as ours."""
    print(f"bus: {' '.join(line.split())}", file=sys.stderr, flush=True)


def discard_output() -> None:
    """Send what is still buffered for standard output nowhere, because nobody reads it any more.

    Without this the interpreter tries once more as it exits and reports the broken pipe.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
