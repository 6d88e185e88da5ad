"""``bus namespaces``: the namespaces of a server, and what is in them."""

from __future__ import annotations

import sys

import click
import msgspec

from bus.cli.console import emit, say
from bus.cli.server_options import server_options
from bus.cli.table_output import TableColumn, show
from bus.client.core.namespaces import Namespace
from bus.transfer.server_address import ServerAddress

PATIENCE = 10.0
"""Seconds to wait for an answer."""

_COLUMNS: tuple[TableColumn[Namespace], ...] = (
    TableColumn("namespace", lambda row: row.namespace),
    TableColumn("storage", lambda row: row.storage),
    TableColumn("events", lambda row: f"{row.events:,}", number=True),
    TableColumn("bytes", lambda row: f"{row.bytes:,}", number=True),
    TableColumn("quota", lambda row: "" if row.quota is None else f"{row.quota:,}", number=True),
    TableColumn("streams", lambda row: f"{row.subscribers:,}", number=True),
    TableColumn("takes events", lambda row: "yes" if row.writable else "no"),
)


@click.command(
    epilog="""\b
Examples:
  bus namespaces
  bus namespaces show app
"""
)
@click.argument("action", type=click.Choice(["list", "show"]), default="list")
@click.argument("name", required=False)
@server_options
def namespaces(*, server: ServerAddress, action: str, name: str | None) -> None:
    """List the namespaces of a server, or show one of them.

    \b
    list             what is in each of them, as far as you may know of it
    show NAME        all there is to know about one
    """
    if action == "show" and name is None:
        raise click.UsageError("show needs the NAME of a namespace")
    with server.open_client(timeout=PATIENCE) as client:
        if action == "list":
            show([msgspec.structs.asdict(found) for found in client.namespaces.list()], Namespace, *_COLUMNS)
        elif name is not None:
            _show_one(client.namespaces.get(name))


def _show_one(found: Namespace) -> None:
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(found))
        return
    for name, value in msgspec.structs.asdict(found).items():
        say(f"{name.replace('_', ' '):<17}{value if value is not None else 'none'}")
