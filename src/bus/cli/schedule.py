"""``bus schedule``: events that are published later."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click
import msgspec

from bus.cli.console import emit, note, say
from bus.cli.publish_lines import payload_of
from bus.cli.server_options import server_options
from bus.cli.table_output import TableColumn, show
from bus.transfer.server_address import ServerAddress

if TYPE_CHECKING:
    from bus.client import Client, Schedule

PATIENCE = 10.0
"""Seconds to wait for an answer."""

MOST = 10_000
"""Schedules that are listed."""


class _Shown(msgspec.Struct):
    """What the table shows of a schedule."""

    id: str
    subject: str
    deliver_at: str
    bytes: int
    cron: str = ""
    time_zone: str = ""


_COLUMNS: tuple[TableColumn[_Shown], ...] = (
    TableColumn("schedule", lambda row: row.id),
    TableColumn("subject", lambda row: row.subject, wraps=True),
    TableColumn("due", lambda row: row.deliver_at[:19].replace("T", " ")),
    TableColumn("bytes", lambda row: f"{row.bytes:,}", number=True),
    TableColumn("recurs", lambda row: f"{row.cron} {row.time_zone}".strip(), wraps=True),
)


@click.command(
    epilog="""\b
Examples:
  bus put --subject app.reminder --data '"call back"' --delay 15m
  bus schedule
  bus schedule add report --subject app.report --cron "0 9 * * MON" --time-zone Europe/Berlin
  bus schedule cancel report
"""
)
@click.argument("action", type=click.Choice(["list", "show", "add", "cancel"]), default="list")
@click.argument("name", required=False)
@click.option("--subject", metavar="SUBJECT", help="add: what the event is about; list: a pattern.")
@click.option("--data", metavar="DATA", help="add: the payload, read like that of bus put.  [null]")
@click.option("--cron", metavar="CRON", help="add: minute, hour, day, month and weekday.")
@click.option("--time-zone", default="UTC", metavar="ZONE", help="add: what --cron is in, like Europe/Berlin.  [UTC]")
@click.option(
    "--late", type=click.Choice(["once", "skip"]), default="once",
    help="add: what becomes of one that was due while the server was down.  [once]",
)  # fmt: skip
@click.option("--key", metavar="KEY", help="add: refuse an event if this subject had this key before.")
@server_options
def schedule(*, server: ServerAddress, action: str, name: str | None, subject: str | None, **about: Any) -> None:
    """List events that are published later, cancel them, or have one recur.

    \b
    list             what is scheduled, the next first
    show ID          one schedule, with its payload
    add NAME         have an event recur, in the place of what NAME stood for before
    cancel ID        forget one, by its id or its name

    An event that is published once is scheduled by bus put, with --delay or --deliver-at.
    """
    with server.open_client(timeout=PATIENCE) as client:
        if action == "list":
            rows = client.schedules.list(subject or (), limit=MOST)
            show([_fields(row) for row in rows], _Shown, *_COLUMNS)
        elif name is None:
            raise click.UsageError(f"{action} needs the {'NAME' if action == 'add' else 'ID'} of a schedule")
        elif action == "show":
            _show_one(client.schedules.get(name))
        elif action == "cancel":
            client.schedules.cancel(name)
            if sys.stderr.isatty():
                note(f"cancelled {name}")
        else:
            _add(client, name, subject, **about)


def _add(client: Client, name: str, subject: str | None, *, data: str | None, cron: str | None, **about: Any) -> None:
    if not (subject and cron):
        raise click.UsageError("add needs --subject and --cron")
    payload = None if data is None else payload_of(os.fsencode(data))
    found = client.schedules.set(name, subject, payload, cron=cron, **about)
    if sys.stdout.isatty():
        say(f"{found.id}: {found.subject} from {found.deliver_at} on")
    else:
        emit(msgspec.json.encode(_fields(found)))


def _show_one(found: Schedule) -> None:
    fields = {**_fields(found), "payload": found.payload}
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(fields))
        return
    for name, value in fields.items():
        text = msgspec.json.encode(value).decode() if name == "payload" else str(value)
        say(f"{name.replace('_', ' '):<12}{text}")


def _fields(found: Schedule) -> dict[str, object]:
    """What is known of a schedule, as far as it has something to say."""
    fields = msgspec.structs.asdict(found)
    return {name: value for name, value in fields.items() if name != "payload" and value != ""}
