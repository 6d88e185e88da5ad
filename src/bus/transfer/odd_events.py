"""Events that can't be taken, among many that can: each is named, and the first ends the command unless told not to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from bus.errors import BusError, InvalidEventError
from bus.event import Draft
from bus.transfer.admission import READ_ERRORS, StoredEvent, admit

_LONGEST_SHOWN = 80


class OddEventError(InvalidEventError):
    """An event can't be taken, and the command ends before it."""


class OddEvents:
    """What becomes of events that can't be taken: with *skip* they are left out, ``skipped`` of them so far.

    Otherwise the first ends the command, which says what is *kept*. Those who run the command are told by *note*.
    """

    def __init__(self, *, skip: bool, note: Callable[[str], object], kept: str = "") -> None:
        self.skip = skip
        self.skipped = 0
        self.note = note
        self._remedy = f"{kept and kept + ', '}--skip-invalid leaves such events out"

    def leave_out(self, line: bytes, error: BusError, *, number: int | None = None) -> None:
        """Name the event in *line*, the *number*-th if it is of a file. Raises `OddEventError` if it may not go."""
        where = "an event" if number is None else f"line {number}"
        what = f"{error} ({name_event(line)})"
        if not self.skip:
            raise OddEventError(f"{where}: {what}; {self._remedy}")
        self.skipped += 1
        self.note(f"{where} is left out: {what}")

    def report(self) -> None:
        """Say how many were left out, if any were."""
        if self.skipped:
            self.note(f"skipped {self.skipped:,} {'event' if self.skipped == 1 else 'events'}")

    def __repr__(self) -> str:
        return f"<OddEvents, {self.skipped} skipped>"


@dataclass(frozen=True, slots=True)
class Piece:
    """Whole lines of NDJSON, and where they are from.

    Attributes:
        lines: an event each, with its line break; blank ones count for nothing.
        number: that of the first line, if they are from a file.
        namespace: the one that was asked for, if one was.
    """

    lines: bytes
    number: int | None = None
    namespace: str = ""


def admit_each(piece: Piece, take: Callable[[StoredEvent], object], odd: OddEvents, *, now: int) -> None:
    """Give the events of *piece* to *take* one by one; what isn't in order, also to *take*, is left to *odd*."""
    for at, line in enumerate(piece.lines.split(b"\n")[:-1]):
        if not line.strip():
            continue
        try:
            event = admit(line, now=now)
            check_namespace(namespace_of(event), piece.namespace)
            take(event)
        except InvalidEventError as error:
            odd.leave_out(line, error, number=None if piece.number is None else piece.number + at)


def namespace_of(event: Draft) -> str:
    """The first segment of its subject."""
    return (event.subject or "").partition(".")[0]


def check_namespace(namespace: str, wanted: str) -> None:
    """Raise `InvalidEventError` for another *namespace* than the one that was *wanted*, if one was."""
    if wanted and namespace != wanted:
        raise InvalidEventError(f"it is not of namespace {wanted}, which was asked for")


class NamedEvent(msgspec.Struct):
    """What makes JSON an event, whatever else is in it."""

    id: str
    subject: str


named_decoder = msgspec.json.Decoder(NamedEvent)


def lines_in_order(piece: Piece, odd: OddEvents) -> bytes:
    """The lines of *piece* that are events of its namespace, byte for byte; what else is in it is left to *odd*."""
    try:
        _check_named(piece.lines, piece.namespace)
    except (InvalidEventError, *READ_ERRORS):
        return b"".join(line for line in piece.lines.splitlines(keepends=True) if _is_in_order(line, piece, odd))
    return piece.lines


def _check_named(lines: bytes, namespace: str) -> None:
    if not lines.isascii():
        lines.decode()
    for name in {event.subject.partition(".")[0] for event in named_decoder.decode_lines(lines)}:
        check_namespace(name, namespace)


def _is_in_order(line: bytes, piece: Piece, odd: OddEvents) -> bool:
    try:
        _check_named(line, piece.namespace)
    except READ_ERRORS as error:
        odd.leave_out(line, InvalidEventError(f"it is no event: {error}"))
    except InvalidEventError as error:
        odd.leave_out(line, error)
    else:
        return True
    return False


class _About(msgspec.Struct):
    """What an event is named by; of any type, because what is odd may be just that."""

    index: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    subject: msgspec.Raw = msgspec.Raw()


def name_event(line: bytes) -> str:
    """The event in *line* as a person finds it again: ``index 5, id "e_1", subject "app.a"``, else how it begins."""
    try:
        about = msgspec.json.decode(line, type=_About)
    except READ_ERRORS:
        return _shown(line)
    values = {name: _value(about, name) for name in _About.__struct_fields__}
    return ", ".join(f"{name} {_shown(value)}" for name, value in values.items() if value) or _shown(line)


def _value(about: _About, name: str) -> bytes:
    return bytes(getattr(about, name))


def _shown(value: bytes) -> str:
    text = value.decode("utf-8", "backslashreplace")
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
