"""``bus restore``: a dump back into a directory, or into a running server."""

from __future__ import annotations

import click

from bus.cli.console import note, progress
from bus.cli.line_input import open_lines, read_pieces, size_of
from bus.cli.place_options import place_options, skip_invalid_option
from bus.cli.secret_options import block_size_option, make_cipher, secret_options
from bus.cli.tally import tally
from bus.config import Secret
from bus.transfer.directory_target import DirectoryTarget
from bus.transfer.event_source import Place
from bus.transfer.event_target import EventTarget
from bus.transfer.odd_events import OddEvents
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_target import ServerTarget


@click.command(
    epilog="""\b
Examples:
  bus restore --path ./data --input events.json
  gunzip -c app.json.gz | bus restore --path http://localhost:2021 --input -
"""
)
@place_options
@click.option("--input", "dump", required=True, metavar="FILE", help="The dump; - is standard input.")
@click.option("--append", is_flag=True, help="Add behind the events that are there, under new indexes.")
@skip_invalid_option
@block_size_option
@secret_options(of="the directory")
def restore(*, place: Place, dump: str, append: bool, skip_invalid: bool, block_size: int, secret: Secret) -> int:
    """Store the events of a dump, with their ids, times, keys and indexes.

    A directory must have no events yet in the namespaces of the dump, and no server; dumped again, it gives the same
    bytes. With --append, events are added under new indexes instead, and lines need not be from a dump: an id and a
    time are made where there is none. A running server always gives new indexes.

    A line that can't be taken ends it: then a directory holds nothing new, while those before it stay with --append
    and in a server. With --skip-invalid it is named and left out, and what comes after it gets the next indexes.
    """
    kept = "those before it are stored" if append or isinstance(place, ServerAddress) else "nothing is stored"
    odd, cipher = OddEvents(skip=skip_invalid, note=note, kept=kept), make_cipher(secret, block_size)
    target: EventTarget
    if isinstance(place, ServerAddress):
        target = ServerTarget(place, odd=odd)
    else:
        target = DirectoryTarget(place, cipher=cipher, odd=odd, keep=not append, append=append)
    with open_lines(dump) as source, tally("restored") as add, target, progress(dump, total=size_of(source)) as show:
        for piece, end in read_pieces(source):
            target.add(piece)
            add(piece.lines.count(b"\n"))
            show(end)
    odd.report()
    return 1 if target.refused else 0
