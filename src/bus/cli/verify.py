"""``bus verify``: every byte of a data directory, checked."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from bus.cli.console import emit, progress, say
from bus.cli.keys import make_cipher, secret_options
from bus.cli.places import choose, namespace_option
from bus.cli.positions import read_positions
from bus.cli.source import find_namespaces
from bus.config import Secret
from bus.engine.embedded.data_directory import DataDirectory
from bus.errors import StorageError, WrongKeyError
from bus.storage import Checked, Damage
from bus.storage import verify as check_log
from bus.units import format_size


class Finding(msgspec.Struct):
    """Something that is damaged or missing; the events from ``first_index`` to ``last_index`` can't be read for it."""

    file: str
    offset: int
    what: str
    first_index: int | None = None
    last_index: int | None = None
    text: str = ""


class Summary(msgspec.Struct):
    """What was checked, and how many findings there are; ``torn_bytes`` are of an append that never finished."""

    segments: int = 0
    events: int = 0
    bytes: int = 0
    torn_bytes: int = 0
    findings: int = 0

    def add(self, checked: Checked) -> None:
        self.segments += 1
        self.findings += len(checked.damage)
        self.torn_bytes += checked.torn.size if checked.torn else 0
        if checked.segment:
            self.events += checked.segment.next - checked.segment.first
            self.bytes += checked.segment.bytes


@click.command(
    epilog="""\b
Examples:
  bus verify --path ./data
  bus verify --path ./backup --secret-key-file bus.key && echo good
"""
)
@click.option(
    "--path", envvar="BUS_PATH", default="./data", type=Path, metavar="DIR", help="Data directory.  [BUS_PATH; ./data]"
)
@namespace_option("Verify this namespace only; may be repeated.")
@secret_options(of="the directory")
def verify(*, path: Path, only: Sequence[str], secret: Secret) -> int:
    """Check every checksum, every seal and every index, and name what is damaged or missing.

    Prints a line for each finding, with file, offset and the events it costs, and a summary. The exit status is 1 if
    there is any finding. Nothing is changed, and a server may be using the directory.
    """
    summary = Summary()
    findings = list(_check(path, choose(find_namespaces(path), only, place=str(path)), secret, summary))
    summary.findings = len(findings)
    for finding in findings:
        _show(finding)
    _show(summary)
    return 1 if findings else 0


def _check(path: Path, namespaces: Sequence[str], secret: Secret, summary: Summary) -> Iterator[Finding]:
    directory = DataDirectory(path)
    logs = [directory.log(name) for name in namespaces]
    size = sum(file.stat().st_size for log in logs for file in log.glob("*.log"))
    with progress("verify", total=size) as show:
        for log in logs:
            for checked in check_log(log, cipher=make_cipher(secret)):
                summary.add(checked)
                yield from map(_finding, checked.damage)
                show(summary.bytes)
    yield from _check_consumers(path, secret)


def _finding(damage: Damage) -> Finding:
    found = Finding(str(damage.path), damage.offset, damage.what, text=str(damage))
    if damage.next > damage.first:
        found.first_index, found.last_index = damage.first, damage.next - 1
    return found


def _check_consumers(path: Path, secret: Secret) -> Iterator[Finding]:
    try:
        read_positions(path, secret=secret)
    except WrongKeyError:
        raise
    except StorageError as error:
        yield Finding(str(DataDirectory(path).consumers), 0, error.message, text=error.message)


def _show(result: Finding | Summary) -> None:
    """A sentence for a person, a line of JSON for a program."""
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(result))
    elif isinstance(result, Finding):
        say(result.text)
    else:
        say(_sentence(result))


def _sentence(summary: Summary) -> str:
    found = f"{summary.findings} findings" if summary.findings else "nothing is damaged or missing"
    torn = f"; {summary.torn_bytes} bytes at an end are not finished" if summary.torn_bytes else ""
    size = format_size(summary.bytes)
    return f"{summary.events:,} events in {summary.segments} segments, {size}: {found}{torn}"
