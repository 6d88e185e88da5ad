"""Publishing the lines of a file or a pipe, in bounded memory.

What one read brings in goes out as soon as it is there: a file in large batches, a pipe line by line when its
lines come one at a time.

    source ── read ──▶ numbered lines ── put_many ──▶ an outcome for each ──▶ receipts and refusals, in order
"""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat, takewhile
from typing import TYPE_CHECKING

import msgspec

from bus.cli.console import OutputClosedError, emit, note, progress, reason
from bus.cli.odd_events import Piece
from bus.drafts import decode_draft
from bus.errors import BusError, ConnectionFailedError, InvalidEventError, TimedOutError
from bus.event import Draft, Receipt
from bus.units import format_size

if TYPE_CHECKING:
    from bus.client import Client

READ_SIZE = 1 << 20
PIECE_SIZE = 1 << 16
LINES_AT_ONCE = 1000
LONGEST_LINE = 64 << 20
_LOST = (ConnectionFailedError, TimedOutError)


@dataclass(frozen=True, slots=True)
class Line:
    """One line that isn't blank, without its line break; *end* is how many bytes of the source it completes."""

    number: int
    text: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one line."""

    line: Line
    result: Receipt | BusError


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
        if len(rest) > LONGEST_LINE:
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
        if held > LONGEST_LINE:
            raise _too_long(number)
    if held:
        yield Piece(b"".join([*rest, b"\n"]), number), end


def _too_long(number: int) -> InvalidEventError:
    return InvalidEventError(f"line {number} is longer than {format_size(LONGEST_LINE)}: send an event a line")


def read_some(source: io.RawIOBase, size: int) -> bytes:
    """The next bytes of *source*, as soon as there are any; none at its end. Raises `BusError`."""
    try:
        while (data := source.read(size)) is None:  # whoever shares the pipe or the terminal made it not wait
            select.select([source], [], [])
    except OSError as error:
        name = "standard input" if source.fileno() == 0 else getattr(source, "name", "the input")
        raise BusError(f"{name} can't be read: {reason(error)}") from None
    return data


def publish_lines(client: Client, source: io.RawIOBase, *, subject: str | None) -> Iterator[list[Outcome]]:
    """Publish each line of *source*: as the payload of an event with *subject*, else as a whole event.

    Yields what became of the lines, in their order. Raises `ConnectionFailedError` or `TimedOutError` naming the
    line from which on nobody knows what is stored.
    """
    for lines in read_lines(source):
        outcomes = _publish(client, lines, subject)
        known = list(takewhile(lambda outcome: not isinstance(outcome.result, _LOST), outcomes))
        if known:
            yield known
        if len(known) < len(outcomes):
            raise _stopped(outcomes[len(known)])


def _stopped(at: Outcome) -> BusError:
    kind = TimedOutError if isinstance(at.result, TimedOutError) else ConnectionFailedError
    return kind(f"stopped at line {at.line.number}: {at.result}")


def _publish(client: Client, lines: list[Line], subject: str | None) -> list[Outcome]:
    drafts = [_draft(line.text, subject=subject) for line in lines]
    sent = [draft for draft in drafts if isinstance(draft, Draft)]
    stored: Iterator[Receipt | BusError]
    try:
        stored = iter(client.put_many(sent, atomic=False))
    except ConnectionFailedError as error:
        stored = repeat(error)
    results = [next(stored) if isinstance(draft, Draft) else draft for draft in drafts]
    return [Outcome(line, result) for line, result in zip(lines, results, strict=True)]


def _draft(text: bytes, *, subject: str | None) -> Draft | BusError:
    try:
        return Draft(subject=subject, payload=payload_of(text)) if subject else decode_draft(text)
    except BusError as error:
        return error


def payload_of(text: bytes) -> msgspec.Raw:
    """*text* as it stands when it is JSON, else as a JSON string.

    Raises `InvalidEventError` when it is neither JSON nor UTF-8.
    """
    try:
        return msgspec.json.decode(text, type=msgspec.Raw)
    except RecursionError:
        raise InvalidEventError("the payload is nested too deep") from None
    except msgspec.DecodeError:
        pass
    try:
        return msgspec.Raw(msgspec.json.encode(text.decode()))
    except UnicodeDecodeError as error:
        raise InvalidEventError(f"the payload is not UTF-8: {error.reason} at byte {error.start}") from None


def put_lines(client: Client, path: str, *, subject: str | None, quiet: bool) -> int:
    """Publish the lines of the file at *path* (``-`` is standard input) and print a receipt for each.

    Returns the exit status: 1 when some line was refused. Raises what `publish_lines` does.
    """
    stored = refused = 0
    with open_lines(path) as source, progress(path, total=size_of(source)) as show:
        for outcomes in publish_lines(client, source, subject=subject):
            receipts = [outcome.result for outcome in outcomes if isinstance(outcome.result, Receipt)]
            stored, refused = stored + len(receipts), refused + len(outcomes) - len(receipts)
            _name_refused(outcomes)
            if not quiet:
                _print_receipts(receipts, outcomes[-1].line)
            show(outcomes[-1].line.end)
    if sys.stderr.isatty():
        note(f"{stored} events stored, {refused} lines refused")
    return 1 if refused else 0


def _name_refused(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome.result, BusError):
            note(f"line {outcome.line.number}: {outcome.result.message}")


def _print_receipts(receipts: list[Receipt], last: Line) -> None:
    """Print receipts of lines up to *last*. Raises `BusError` when nobody reads them, as the rest is not published."""
    try:
        if receipts:
            emit(b"\n".join(map(msgspec.json.encode, receipts)))
    except OutputClosedError:
        raise BusError(f"stopped after line {last.number}: nobody reads the receipts; --quiet prints none") from None


def open_lines(path: str) -> io.FileIO:
    """The file, or standard input; unbuffered, so that a line goes out as soon as it is there."""
    return io.FileIO(sys.stdin.fileno(), closefd=False) if path == "-" else io.FileIO(path)


def size_of(source: io.FileIO) -> int | None:
    """The size of a file in bytes; None for a pipe or a terminal."""
    about = os.fstat(source.fileno())
    return about.st_size if stat.S_ISREG(about.st_mode) else None
