"""Standard input, output and error as a command can rely on them, whatever it was started with.

A shell may close any of the three (``<&-``, ``>&-``, ``2>&-``), and so may a supervisor. Python then has None in its
place, and the next file that is opened gets the free number: what anybody writes to "standard error" would go into
a log file. So the numbers are taken first, by the null device.
"""

from __future__ import annotations

import os
import sys
from typing import Literal, TextIO

_IN_PLACE = (os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)
"""How the null device is opened in place of input, output and error. For the first two that is the wrong way round, so
that their use fails; what goes to standard error is lost, as whoever closed it wants."""


def secure() -> None:
    """Have 0, 1 and 2 be open, and ``sys.stdin``, ``stdout`` and ``stderr`` be files."""
    for number, flags in enumerate(_IN_PLACE):
        if not _is_open(number):
            _open_as(number, flags)
    sys.stdin = sys.stdin or _file(0, "r")
    sys.stdout = sys.stdout or _file(1, "w")
    sys.stderr = sys.stderr or _file(2, "w")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _open_as(number: int, flags: int) -> None:
    opened = os.open(os.devnull, flags)
    if opened != number:
        os.dup2(opened, number)
        os.close(opened)


def _file(number: int, mode: Literal["r", "w"]) -> TextIO:
    return open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False)
