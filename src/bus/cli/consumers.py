"""``bus consumers``: the durable consumers of a server."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from urllib.parse import quote

import click
import msgspec

from bus.cli.console import emit, note, say
from bus.cli.server_options import server_options
from bus.cli.table_output import TableColumn, show
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_questions import ServerQuestions

ServerRow = dict[str, object]
"""What a server says of one thing, more than is shown here."""


class _Shown(msgspec.Struct):
    """What the table shows of a consumer."""

    name: str
    patterns: list[str]
    behind: int
    pending: int
    dead: int
    connections: int
    why: str


_COLUMNS: tuple[TableColumn[_Shown], ...] = (
    TableColumn("consumer", lambda row: row.name),
    TableColumn("patterns", lambda row: " ".join(row.patterns), wraps=True),
    TableColumn("behind", lambda row: f"{row.behind:,}", number=True),
    TableColumn("pending", lambda row: f"{row.pending:,}", number=True),
    TableColumn("dead", lambda row: f"{row.dead:,}", number=True),
    TableColumn("streams", lambda row: str(row.connections), number=True),
    TableColumn("why nothing comes", lambda row: row.why, wraps=True),
)


@click.command(
    epilog="""\b
Examples:
  bus consumers
  bus consumers why billing
  bus consumers delete billing
"""
)
@click.argument("action", type=click.Choice(["list", "show", "why", "delete"]), default="list")
@click.argument("name", required=False)
@server_options
def consumers(*, action: str, name: str | None, server: ServerAddress) -> None:
    """List durable consumers, or look after one of them.

    \b
    list         all of them: what is left to read, pending and dead, and who is connected
    show NAME    all there is to know about one
    why NAME     why nothing is being delivered to it, in a line
    delete NAME  forget it, with its position and its dead letters; its streams end
    """
    questions = ServerQuestions(server)
    if action == "list":
        show(list_consumers(questions), _Shown, *_COLUMNS)
        return
    if name is None:
        raise click.UsageError(f"{action} needs the NAME of a consumer")
    path = path_of(name)
    match action:
        case "show":
            _show_one(questions.ask("GET", path, ServerRow))
        case "why":
            say(questions.ask_text("GET", f"{path}/why"))
        case "delete":
            questions.ask_text("DELETE", path)
            if sys.stderr.isatty():
                note(f"deleted consumer {name}")


def path_of(consumer: str) -> str:
    """Where a server tells of *consumer*."""
    return f"v1/consumers/{quote(consumer, safe='')}"


class _Consumers(msgspec.Struct):
    consumers: list[ServerRow]


def list_consumers(server: ServerQuestions) -> Sequence[ServerRow]:
    """What *server* says of each of its durable consumers."""
    return server.ask("GET", "v1/consumers", _Consumers).consumers


def _show_one(consumer: ServerRow) -> None:
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(consumer))
        return
    for name, value in consumer.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        say(f"{name.replace('_', ' '):<12}{text}")
