"""``bus subjects``: the subjects of a namespace, how many events each has, and which is the newest."""

from __future__ import annotations

import click
import msgspec

from bus.cli.server_options import server_options
from bus.cli.table_output import TableColumn, show
from bus.namespace import SubjectDescription
from bus.transfer.server_address import ServerAddress

PATIENCE = 60.0
"""Seconds to wait for an answer: subjects may have to be counted first."""

_COLUMNS: tuple[TableColumn[SubjectDescription], ...] = (
    TableColumn("subject", lambda row: row.subject, wraps=True),
    TableColumn("events", lambda row: f"{row.events:,}", number=True),
    TableColumn("last index", lambda row: f"{row.last_index:,}", number=True),
    TableColumn("last time", lambda row: row.last_time[:19].replace("T", " ")),
)


@click.command(
    epilog="""\b
Examples:
  bus subjects "orders.>"
  bus subjects "orders.*" "orders.eu.>" --limit 20
"""
)
@click.argument("patterns", metavar="PATTERN...", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(min=1), default=1000, help="How many subjects at most.  [1000]")
@server_options
def subjects(*, server: ServerAddress, patterns: tuple[str, ...], limit: int) -> None:
    """List the subjects that patterns take: how many events each has, and which is the newest.

    On a terminal as a table, in a pipe as a line of JSON each. Subjects of which no event is left aren't there.
    """
    with server.open_client(timeout=PATIENCE) as client:
        found = client.events.subjects(patterns, limit=limit)
    show([msgspec.structs.asdict(row) for row in found], SubjectDescription, *_COLUMNS)
