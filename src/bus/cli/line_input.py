"""The lines of a file or a pipe, in bounded memory.

What one read brings in is handed on as soon as it is there: a file in large batches, a pipe line by line when its lines
come one at a time.
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from bus.cli.console import reason
from bus.errors import BusError, InvalidEventError
from bus.transfer.odd_events import Piece
from bus.units import format_size

READ_SIZE = 1 << 20
PIECE_SIZE = 1 << 16
LINES_AT_ONCE = 1000
LONGEST_INPUT_LINE = 64 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line that isn't blank, without its line break; *end* is how many bytes of the source it completes."""

    number: int
    text: bytes
    end: int


def read_lines(source: io.RawIOBase) -> Iterator[list[Line]]:
    """The lines of *source* in batches, each as soon as it has been read.

    Raises `InvalidEventError` when a line is longer than anything a server takes.
    """
    number = end = 0
    rest = b""
    while data := read_some(source, READ_SIZE):
        *texts, rest = (rest + data).split(b"\n")
        batch = []
        for text in texts:
            number, end = number + 1, end + len(text) + 1
            if text.strip():
                batch.append(Line(number, text, end))
        yield from (batch[at : at + LINES_AT_ONCE] for at in range(0, len(batch), LINES_AT_ONCE))
        if len(rest) > LONGEST_INPUT_LINE:
            raise _too_long(number + 1)
    if rest.strip():
        yield [Line(number + 1, rest, end + len(rest))]


def read_pieces(source: io.RawIOBase) -> Iterator[tuple[Piece, int]]:
    """The lines of *source* as pieces of whole ones, and how many bytes of it are read by then.

    Raises `InvalidEventError` when a line is longer than anything a log takes.
    """
    number, end = 1, 0
    rest: list[bytes] = []
    held = 0
    while data := read_some(source, PIECE_SIZE):
        end += len(data)
        whole, found, beginning = data.rpartition(b"\n")
        if found:
            piece = Piece(b"".join([*rest, whole, found]), number)
            rest, held = [], 0
            yield piece, end
            number += piece.lines.count(b"\n")
        rest.append(beginning)
        held += len(beginning)
        if held > LONGEST_INPUT_LINE:
            raise _too_long(number)
    if held:
        yield Piece(b"".join([*rest, b"\n"]), number), end


def _too_long(number: int) -> InvalidEventError:
    return InvalidEventError(f"line {number} is longer than {format_size(LONGEST_INPUT_LINE)}: send an event a line")


def read_some(source: io.RawIOBase, size: int) -> bytes:
    """The next bytes of *source*, as soon as there are any; none at its end. Raises `BusError`."""
    try:
        while (data := source.read(size)) is None:  # whoever shares the pipe or the terminal made it not wait
            select.select([source], [], [])
    except OSError as error:
        name = "standard input" if source.fileno() == 0 else getattr(source, "name", "the input")
        raise BusError(f"{name} can't be read: {reason(error)}") from None
    return data


def open_lines(path: str) -> io.FileIO:
    """The file, or standard input; unbuffered, so that a line goes out as soon as it is there."""
    return io.FileIO(sys.stdin.fileno(), closefd=False) if path == "-" else io.FileIO(path)


def size_of(source: io.FileIO) -> int | None:
    """The size of a file in bytes; None for a pipe or a terminal."""
    about = os.fstat(source.fileno())
    return about.st_size if stat.S_ISREG(about.st_mode) else None
