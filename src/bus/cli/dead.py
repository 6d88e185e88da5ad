"""``bus dead``: the events that durable consumers gave up."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from bus.cli.console import complain, emit
from bus.cli.consumers import list_consumers, path_of
from bus.cli.options import host_option
from bus.cli.remote import Server
from bus.cli.table import Column, show
from bus.units import format_time

_COLUMNS: tuple[Column[dict[str, Any]], ...] = (
    Column("consumer", lambda row: row["consumer"]),
    Column("index", lambda row: str(row["index"]), number=True),
    Column("subject", lambda row: row["subject"], wraps=True),
    Column("attempts", lambda row: str(row["attempts"]), number=True),
    Column("given up", lambda row: format_time(row["time"])[:19].replace("T", " "), wraps=True),
    Column("reason", lambda row: row["reason"], wraps=True),
)


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
@host_option
def dead(*, action: str, consumer: str | None, given: Sequence[str], host: str) -> int:
    """List events that a durable consumer gave up, send them back to it, or forget them.

    \b
    list [CONSUMER]    each event given up, with its reason and attempts
    redrive CONSUMER   deliver them again, counting attempts from 0
    drop CONSUMER      forget them; they stay in the log, and so do their dead letters

    Their payloads are in dead letters, which are read like any subject: the last example.
    """
    server, indexes = Server(host), _read_indexes(given)
    if action == "list":
        names = [consumer] if consumer else [row["name"] for row in list_consumers(server) if row["dead"]]
        show([row for name in names for row in _ask_dead(server, name, indexes)], *_COLUMNS)
        return 0
    if consumer is None:
        raise click.UsageError(f"{action} needs the name of a CONSUMER")
    return _settle(server, action, consumer, indexes)


def _read_indexes(given: Sequence[str]) -> set[int]:
    texts = [text for several in given for text in several.split(",")]
    if not all(text.isascii() and text.isdigit() for text in texts):
        raise click.UsageError(f"--index {' '.join(given)} can't be read: write it like 7 or 7,9")
    return set(map(int, texts))


def _ask_dead(server: Server, consumer: str, indexes: set[int]) -> list[dict[str, Any]]:
    found = server.ask("GET", f"{path_of(consumer)}/dead")["dead"]
    return [{"consumer": consumer, **row} for row in found if not indexes or row["index"] in indexes]


def _settle(server: Server, action: str, consumer: str, indexes: set[int]) -> int:
    """Redrive or drop, say how many, and return the exit status: 1 if one asked for is not there, or gone."""
    query = f"?index={','.join(map(str, sorted(indexes)))}" if indexes else ""
    result = server.ask("POST" if action == "redrive" else "DELETE", f"{path_of(consumer)}/dead{query}")
    gone = result.get("gone", [])
    done, count = next(iter(result.items()))
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(result))
    else:
        emit(f"{done} {count} events of {consumer}".encode())
    if gone:
        return complain(f"of events {', '.join(map(str, gone))} nothing is left to send: drop them")
    if count < len(indexes):
        return complain(f"{len(indexes) - count} of {len(indexes)} events are not among the dead of {consumer}")
    return 0
