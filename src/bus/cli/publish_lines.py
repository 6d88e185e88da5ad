"""Publishing the lines of a file or a pipe.

source ── read ──▶ numbered lines ── put_many ──▶ an outcome for each ──▶ receipts and refusals, in order
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat, takewhile
from typing import TYPE_CHECKING

import msgspec

from bus.cli.console import OutputClosedError, emit, note, progress
from bus.cli.line_input import Line, open_lines, read_lines, size_of
from bus.drafts import decode_draft
from bus.errors import BusError, ConnectionFailedError, InvalidEventError, TimedOutError
from bus.event import Draft, Receipt

if TYPE_CHECKING:
    from bus.client import Client

_LOST = (ConnectionFailedError, TimedOutError)


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """What became of one line."""

    line: Line
    result: Receipt | BusError


def publish_lines(client: Client, source: io.RawIOBase, *, subject: str | None) -> Iterator[list[LineOutcome]]:
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


def _stopped(at: LineOutcome) -> BusError:
    kind = TimedOutError if isinstance(at.result, TimedOutError) else ConnectionFailedError
    return kind(f"stopped at line {at.line.number}: {at.result}")


def _publish(client: Client, lines: list[Line], subject: str | None) -> list[LineOutcome]:
    drafts = [_draft(line.text, subject=subject) for line in lines]
    sent = [draft for draft in drafts if isinstance(draft, Draft)]
    stored: Iterator[Receipt | BusError]
    try:
        stored = iter(client.put_many(sent, atomic=False))
    except ConnectionFailedError as error:
        stored = repeat(error)
    results = [next(stored) if isinstance(draft, Draft) else draft for draft in drafts]
    return [LineOutcome(line, result) for line, result in zip(lines, results, strict=True)]


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


def publish_file(client: Client, path: str, *, subject: str | None, quiet: bool) -> int:
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


def _name_refused(outcomes: list[LineOutcome]) -> None:
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
