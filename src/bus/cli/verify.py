"""``bus verify``: every byte of a data directory, checked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from bus.cli.console import emit, progress, say
from bus.cli.place_options import namespace_option
from bus.cli.secret_options import make_cipher, secret_options
from bus.config import Secret
from bus.transfer.directory_check import CheckSummary, DirectoryCheck, Finding
from bus.transfer.namespaces import choose_namespaces, find_namespaces
from bus.units import format_size


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
    """Check every checksum, every authentication tag and every index, and name what is damaged or missing.

    Prints a line for each finding, with file, offset and the events it costs, and a summary. The exit status is 1 if
    there is any finding. Nothing is changed, and a server may be using the directory.
    """
    namespaces = choose_namespaces(find_namespaces(path), only, place=str(path))
    check = DirectoryCheck(path, namespaces, cipher=make_cipher(secret), secret=secret)
    with progress("verify", total=check.size) as show:
        findings = list(check.run(show))
    check.summary.findings = len(findings)
    for finding in findings:
        _show(finding)
    _show(check.summary)
    return 1 if findings else 0


def _show(result: Finding | CheckSummary) -> None:
    """A sentence for a person, a line of JSON for a program."""
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(result))
    elif isinstance(result, Finding):
        say(result.text)
    else:
        say(_sentence(result))


def _sentence(summary: CheckSummary) -> str:
    found = f"{summary.findings} findings" if summary.findings else "nothing is damaged or missing"
    torn = f"; {summary.torn_bytes} bytes at an end are not finished" if summary.torn_bytes else ""
    size = format_size(summary.bytes)
    return f"{summary.events:,} events in {summary.segments} segments, {size}: {found}{torn}"
