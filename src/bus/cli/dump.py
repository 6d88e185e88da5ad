"""``bus dump``: every event as a line of JSON, byte for byte as it is stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from bus.cli.console import note, reason, write
from bus.cli.place_options import namespace_option, place_options, skip_invalid_option
from bus.cli.secret_options import make_cipher, secret_options
from bus.cli.tally import counting
from bus.config import Secret
from bus.errors import StorageError
from bus.storage import Damage
from bus.transfer.directory_source import DirectorySource
from bus.transfer.event_source import EventSource, Place, open_source
from bus.transfer.odd_events import OddEvents, Piece, lines_in_order

Write = Callable[[bytes], object]


@click.command(
    epilog="""\b
Examples:
  bus dump --path ./data --output events.json
  bus dump --path http://localhost:2021 --namespace app | gzip > app.json.gz
"""
)
@place_options
@click.option("--output", default="-", metavar="FILE", help="Where the lines go; - is standard output.  [-]")
@namespace_option("Dump this namespace only; may be repeated.")
@click.option("--skip-damaged", is_flag=True, help="Dump what is left of a damaged log.")
@skip_invalid_option
@secret_options(of="the directory")
def dump(
    *, place: Place, output: str, only: Sequence[str], skip_damaged: bool, skip_invalid: bool, secret: Secret
) -> int:
    """Write all events as NDJSON, one a line, with their ids, times, keys and indexes, in their order.

    A directory may be in use by a server: it is read without disturbing it, up to the last event that is there when
    the command begins. A file appears under its name only when it is complete.

    What a server sends is written as it is, if it is an event at all; what isn't ends the dump, or is named and left
    out with --skip-invalid. Whether a log takes an event is for bus restore to say.
    """
    odd = OddEvents(skip=skip_invalid, note=note)
    damaged: list[Damage | str] = []
    source = open_source(
        place, cipher=make_cipher(secret), only=only, on_damage=damaged.append if skip_damaged else None
    )
    with _opened(output) as write_lines:
        _dump(source, write_lines, odd)
    odd.report()
    for damage in damaged:
        note(f"left out: {damage}")
    return 1 if damaged else 0


def _dump(source: EventSource, write_lines: Write, odd: OddEvents) -> None:
    with counting("dump", "dumped", total=source.events) as count:
        for namespace in source.namespaces:
            for lines in source.lines(namespace):
                if not isinstance(source, DirectorySource):
                    lines = lines_in_order(Piece(lines, namespace=namespace), odd)
                write_lines(lines)
                count(lines.count(b"\n"))


@contextmanager
def _opened(output: str) -> Iterator[Write]:
    """Where to write to: standard output, or a file that gets its name when the block ends without an error."""
    path = Path(output)
    if output == "-":
        yield write
        return
    try:
        yield from _file(path)
    except OSError as error:
        raise StorageError(f"{path} can't be written: {reason(error)}") from None


def _file(path: Path) -> Iterator[Write]:
    if path.exists() and not path.is_file():  # a pipe or a device: there is nothing to put in its place
        with path.open("wb") as file:
            yield file.write
    else:
        yield from _completed(path)


def _completed(path: Path) -> Iterator[Write]:
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
