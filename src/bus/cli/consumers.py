"""``bus consumers``: the durable consumers of a server."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from bus.cli.console import emit, note, say
from bus.cli.server_options import server_options
from bus.cli.table_output import TableColumn, show
from bus.client.core.consumers import PATH, encode_change, encode_destination, path_of
from bus.consumer import ConsumerConnection, Move, PendingDelivery
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


_PENDING_COLUMNS: tuple[TableColumn[PendingDelivery], ...] = (
    TableColumn("index", lambda row: str(row.index), number=True),
    TableColumn("event", lambda row: row.event_id, wraps=True),
    TableColumn("state", lambda row: row.state),
    TableColumn("attempts", lambda row: str(row.attempts), number=True),
    TableColumn("connection", lambda row: row.connection, wraps=True),
    TableColumn("since", lambda row: _second(row.since), wraps=True),
    TableColumn("until", lambda row: _second(row.due), wraps=True),
)

_CONNECTION_COLUMNS: tuple[TableColumn[ConsumerConnection], ...] = (
    TableColumn("connection", lambda row: row.consumer_id, wraps=True),
    TableColumn("address", lambda row: row.address),
    TableColumn("worker", lambda row: row.worker),
    TableColumn("since", lambda row: _second(row.since), wraps=True),
    TableColumn("in flight", lambda row: f"{row.in_flight:,} of {row.prefetch:,}", number=True),
    TableColumn("silent", lambda row: "yes" if row.silent else ""),
)


def _second(time: str) -> str:
    """An RFC 3339 time to the second, for people."""
    return time[:19].replace("T", " ")


_EDIT = ("subject", "start", "redelivery", "redelivery_count", "order", "expires")
_MOVE = ("to", "dry_run")
_ACTIONS = ("list", "show", "why", "pending", "connections", "edit", "pause", "resume", "move", "delete")


@click.command(
    epilog="""\b
Examples:
  bus consumers
  bus consumers why billing
  bus consumers edit billing --redelivery 1m --expires 7d
  bus consumers pause billing
  bus consumers move billing --to -100 --dry-run
  bus consumers delete billing
"""
)
@click.argument("action", type=click.Choice(_ACTIONS), default="list")
@click.argument("name", required=False)
@click.option("--subject", multiple=True, metavar="PATTERN", help="edit: what it reads; may be repeated.")
@click.option("--start", metavar="WHERE", help="edit: where a new one begins, as in bus get.  [newest]")
@click.option("--redelivery", metavar="DURATIONS", help="edit: time for an attempt, like 5s or 1s,5s,30s.")
@click.option("--redelivery-count", type=int, metavar="N", help="edit: deliveries in all, 0: no limit.")
@click.option("--order", type=click.Choice(["key", "none"]), help="edit: key: one event of each key at a time.")
@click.option(
    "--expires", metavar="DURATION", help="edit: time without a connection, 0: for ever, default: the server's."
)
@click.option(
    "--to",
    metavar="WHERE",
    help="move: oldest, newest, an index, an event id, a time, an age; +10 or -10 from where it is.",
)
@click.option("--dry-run", is_flag=True, help="move: only say what it would repeat or skip.")
@server_options
def consumers(*, action: str, name: str | None, server: ServerAddress, **given: Any) -> None:
    """List durable consumers, or look after one of them.

    \b
    list              all of them: what is left to read, pending and dead, and who is connected
    show NAME         all there is to know about one
    why NAME          why nothing is being delivered to it, in a line
    pending NAME      the events it has read and not settled, and who has them
    connections NAME  who shares it
    edit NAME         make it, or change it; what isn't given stays as it is
    pause NAME        hand out nothing from now on; what is in flight may be settled
    resume NAME       hand out again
    move NAME         go on elsewhere (--to), and say what that repeats or skips
    delete NAME       forget it, with its position and its dead letters; its streams end
    """
    questions = ServerQuestions(server)
    _check_options(action, given)
    if action == "list":
        show(list_consumers(questions), _Shown, *_COLUMNS)
        return
    if name is None:
        raise click.UsageError(f"{action} needs the NAME of a consumer")
    _look_after(questions, action, name, given)


def _check_options(action: str, given: Mapping[str, object]) -> None:
    """An option that goes with another action would be passed over."""
    for option in _EDIT + _MOVE:
        of = "edit" if option in _EDIT else "move"
        is_given = given[option] is not None and given[option] is not False and given[option] != ()
        if is_given and action != of:
            raise click.UsageError(f"--{option.replace('_', '-')} goes with {of}")


def _look_after(questions: ServerQuestions, action: str, name: str, given: Mapping[str, Any]) -> None:
    path = path_of(name)
    match action:
        case "show":
            _show_one(questions.ask("GET", path, ServerRow))
        case "why":
            say(questions.ask_text("GET", path_of(name, "why")))
        case "pending":
            show(questions.ask("GET", path_of(name, "pending"), _Pending).pending, PendingDelivery, *_PENDING_COLUMNS)
        case "connections":
            found = questions.ask("GET", path_of(name, "connections"), _Connections).connections
            show(found, ConsumerConnection, *_CONNECTION_COLUMNS)
        case "move":
            _move(questions, name, given["to"], dry_run=given["dry_run"])
        case "delete":
            questions.ask_text("DELETE", path)
            _note_done(f"deleted consumer {name}")
        case _:
            questions.ask("PUT", path, ServerRow, _change(action, given))
            _note_done(f"{_DONE[action]} consumer {name}")


_DONE = {"edit": "changed", "pause": "paused", "resume": "resumed"}


def _change(action: str, given: Mapping[str, Any]) -> bytes:
    if action != "edit":
        return encode_change(paused=action == "pause")
    return encode_change(
        subjects=given["subject"], start=given["start"], redelivery=given["redelivery"],
        redelivery_count=given["redelivery_count"], order=given["order"], expires=given["expires"],
    )  # fmt: skip


def _note_done(what: str) -> None:
    if sys.stderr.isatty():
        note(what)


def _move(questions: ServerQuestions, name: str, to: str | None, *, dry_run: bool) -> None:
    if to is None:
        raise click.UsageError("move needs to know where: --to oldest, --to -10")
    query = "?dry_run=true" if dry_run else ""
    path, body = path_of(name, f"position{query}"), encode_destination(to)
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(questions.ask("POST", path, ServerRow, body)))
        return
    move = questions.ask("POST", path, Move, body)
    say(
        f"{'moved' if move.moved else 'would move'} {name} from {move.from_index} to {move.to_index}: "
        f"{move.repeats:,} events repeated, {move.skips:,} skipped, {move.forgotten:,} pending forgotten"
    )


class _Consumers(msgspec.Struct):
    consumers: list[ServerRow]


class _Pending(msgspec.Struct):
    pending: list[ServerRow]


class _Connections(msgspec.Struct):
    connections: list[ServerRow]


def list_consumers(server: ServerQuestions) -> Sequence[ServerRow]:
    """What *server* says of each of its durable consumers."""
    return server.ask("GET", PATH, _Consumers).consumers


def _show_one(consumer: ServerRow) -> None:
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(consumer))
        return
    for name, value in consumer.items():
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        say(f"{name.replace('_', ' '):<12}{text}")
