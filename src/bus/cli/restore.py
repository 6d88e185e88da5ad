"""``bus restore``: a dump back into a directory, or into a running server."""

from __future__ import annotations

from pathlib import Path

import click

from bus.cli.console import progress
from bus.cli.keys import block_size_option, make_cipher, secret_options
from bus.cli.lines import Line, open_lines, read_lines, size_of
from bus.cli.places import is_address, path_option
from bus.cli.report import Tally
from bus.cli.target import DirectoryTarget, ServerTarget, Target
from bus.config import Secret
from bus.errors import InvalidError


@click.command(
    epilog="""\b
Examples:
  bus restore --path ./data --input events.json
  gunzip -c app.json.gz | bus restore --path http://localhost:2021 --input -
"""
)
@path_option
@click.option("--input", "dump", required=True, metavar="FILE", help="The dump; - is standard input.")
@click.option("--append", is_flag=True, help="Add behind the events that are there, under new indexes.")
@block_size_option
@secret_options(of="the directory")
def restore(*, path: str, dump: str, append: bool, block_size: int, secret: Secret) -> int:
    """Store the events of a dump, with their ids, times, keys and indexes.

    A directory must have no events yet in the namespaces of the dump, and no server; dumped again, it gives the same
    bytes. With --append, events are added under new indexes instead, and lines need not be from a dump: an id and a
    time are made where there is none. A running server always gives new indexes.
    """
    target: Target
    if is_address(path):
        target = ServerTarget(path)
    else:
        target = DirectoryTarget(Path(path), cipher=make_cipher(secret, block_size), keep=not append, append=append)
    with open_lines(dump) as source, Tally("restored") as tally, target, progress(dump, total=size_of(source)) as show:
        for lines in read_lines(source):
            for line in lines:
                _add(target, line)
            tally.add(len(lines))
            show(lines[-1].end)
    return 1 if target.refused else 0


def _add(target: Target, line: Line) -> None:
    try:
        target.add(line.text)
    except InvalidError as error:
        raise type(error)(f"line {line.number}: {error}") from None
