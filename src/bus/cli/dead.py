"""``bus dead``: the events that durable consumers gave up."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import click
import msgspec

from bus.cli.console import complain, emit, say
from bus.cli.consumers import ServerRow, list_consumers
from bus.cli.option_types import read_index
from bus.cli.server_options import server_options
from bus.cli.table_output import TableColumn, show
from bus.client.core.consumers import path_of
from bus.transfer.server_address import ServerAddress
from bus.transfer.server_questions import ServerQuestions
from bus.units import format_time, parse_time

_LATEST = parse_time("9999-12-31T23:59:59Z")


class _Shown(msgspec.Struct):
    """What the table shows of an event that was given up; *time* is in ns."""

    consumer: str
    index: int
    subject: str
    attempts: int
    time: Annotated[int, msgspec.Meta(ge=0)]
    reason: str


_COLUMNS: tuple[TableColumn[_Shown], ...] = (
    TableColumn("consumer", lambda row: row.consumer),
    TableColumn("index", lambda row: str(row.index), number=True),
    TableColumn("subject", lambda row: row.subject, wraps=True),
    TableColumn("attempts", lambda row: str(row.attempts), number=True),
    TableColumn("given up", lambda row: format_time(min(row.time, _LATEST))[:19].replace("T", " "), wraps=True),
    TableColumn("reason", lambda row: row.reason, wraps=True),
)


class _Dead(msgspec.Struct):
    dead: list[ServerRow]


@click.command(
    epilog="""\b
Examples:
  bus dead list
  bus dead redrive billing
  bus dead drop billing --index 7,9
  bus get --subject orders._dead_.billing --start oldest --follow=false
"""
)
@click.argument("action", type=click.Choice(["list", "redrive", "drop"]), default="list")
@click.argument("consumer", required=False)
@click.option(
    "--index", "given", multiple=True, metavar="INDEX", help="Only the event with this index; may be repeated."
)
@server_options
def dead(*, action: str, consumer: str | None, given: Sequence[str], server: ServerAddress) -> int:
    """List events that a durable consumer gave up, send them back to it, or forget them.

    \b
    list [CONSUMER]    each event given up, with its reason and attempts
    redrive CONSUMER   deliver them again, counting attempts from 0
    drop CONSUMER      forget them; they stay in the log, and so do their dead letters

    Their payloads are in dead letters, which are read like any subject: the last example.
    """
    questions, indexes = ServerQuestions(server), _read_indexes(given)
    if action == "list":
        names = [consumer] if consumer else [str(row["name"]) for row in list_consumers(questions) if row.get("dead")]
        show([row for name in names for row in _ask_dead(questions, name, indexes)], _Shown, *_COLUMNS)
        return 0
    if consumer is None:
        raise click.UsageError(f"{action} needs the name of a CONSUMER")
    return _settle(questions, action, consumer, indexes)


def _read_indexes(given: Sequence[str]) -> set[int]:
    texts = [text for several in given for text in several.split(",")]
    indexes = [read_index(text) for text in texts]
    if None in indexes:
        raise click.UsageError(f"--index {' '.join(given)} can't be read: write it like 7 or 7,9")
    return {index for index in indexes if index is not None}


def _ask_dead(server: ServerQuestions, consumer: str, indexes: set[int]) -> list[ServerRow]:
    found = server.ask("GET", path_of(consumer, "dead"), _Dead).dead
    return [{"consumer": consumer, **row} for row in found if not indexes or row.get("index") in indexes]


def _settle(server: ServerQuestions, action: str, consumer: str, indexes: set[int]) -> int:
    """Redrive or drop, say how many, and return the exit status: 1 if one asked for is not there, or gone."""
    query = f"?index={','.join(map(str, sorted(indexes)))}" if indexes else ""
    method = "POST" if action == "redrive" else "DELETE"
    result = server.ask(method, path_of(consumer, f"dead{query}"), dict[str, int | list[int]])
    gone = result.get("gone")
    done, count = next(((name, value) for name, value in result.items() if isinstance(value, int)), ("settled", 0))
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(result))
    else:
        say(f"{done} {count} events of {consumer}")
    if isinstance(gone, list) and gone:
        return complain(f"of events {', '.join(map(str, gone))} nothing is left to send: drop them")
    if count < len(indexes):
        return complain(f"{len(indexes) - count} of {len(indexes)} events are not among the dead of {consumer}")
    return 0
