"""``bus namespaces``: the namespaces of a server, what is in them, and their making, changing and deleting."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

import click
import msgspec

from bus.cli.console import emit, note, say
from bus.cli.server_options import server_options
from bus.cli.table_output import TableColumn, show
from bus.client import Client
from bus.client.core.namespaces import CompactSetting
from bus.errors import ConflictError, UnknownNamespaceError
from bus.namespace import NamespaceDescription
from bus.transfer.server_address import ServerAddress

PATIENCE = 60.0
"""Seconds to wait for an answer: a large namespace takes a while to delete."""

_COLUMNS: tuple[TableColumn[NamespaceDescription], ...] = (
    TableColumn("namespace", lambda row: row.namespace),
    TableColumn("storage", lambda row: row.storage),
    TableColumn("events", lambda row: f"{row.events:,}", number=True),
    TableColumn("bytes", lambda row: f"{row.bytes:,}", number=True),
    TableColumn("quota", lambda row: "" if row.quota is None else f"{row.quota:,}", number=True),
    TableColumn("keeps", lambda row: row.retention or "everything"),
    TableColumn("compact", lambda row: row.compact or ""),
    TableColumn("streams", lambda row: f"{row.subscribers:,}", number=True),
    TableColumn("takes events", lambda row: "yes" if row.writable else "no"),
)

_OF: Mapping[str, tuple[str, ...]] = {
    "memory": ("add",),
    "retention": ("add", "edit"),
    "quota": ("add", "edit"),
    "compact": ("add", "edit"),
    "yes": ("delete",),
}
"""Which actions each option goes with."""


class _Settings(TypedDict):
    storage: Literal["memory"] | None
    retention: str | None
    max_bytes: str | None
    compact: CompactSetting | None


@click.command(
    epilog="""\b
Examples:
  bus namespaces
  bus namespaces show app
  bus namespaces add orders --retention 7d,10GB
  bus namespaces edit orders --quota 20GB
  bus namespaces edit state --compact subject
  bus namespaces delete orders
"""
)
@click.argument("action", type=click.Choice(["list", "show", "add", "edit", "delete"]), default="list")
@click.argument("name", required=False)
@click.option("--memory", is_flag=True, help="add: keep it in memory alone, until the server stops.")
@click.option(
    "--retention",
    metavar="LIMITS",
    help="add, edit: what to keep, like 7d,10GB or 1000000; everything; default: what the server's flags say.",
)
@click.option(
    "--quota", metavar="SIZE", help="add, edit: bytes it may have, like 10GB, 0: no limit, default: the server's."
)
@click.option(
    "--compact",
    type=click.Choice(["subject", "key", "none", "default"]),
    help="add, edit: keep the newest event only of each subject, or subject and key; default: the server's.",
)
@click.option("--yes", is_flag=True, help="delete: don't ask.")
@server_options
def namespaces(*, server: ServerAddress, action: str, name: str | None, **given: Any) -> None:
    """List the namespaces of a server, or look after one of them.

    \b
    list             what is in each of them, as far as you may know of it
    show NAME        all there is to know about one
    add NAME         make one; it is there from now on, and after restarts
    edit NAME        change one; what isn't given stays as it is
    delete NAME      delete one with its events, consumers, dead letters and schedules
    """
    _check_options(action, given)
    if name is None and action != "list":
        raise click.UsageError(f"{action} needs the NAME of a namespace")
    if action == "delete" and not given["yes"]:
        _confirm(str(name))
    with server.open_client(timeout=PATIENCE) as client:
        if name is None or action == "list":
            show([msgspec.structs.asdict(found) for found in client.namespaces.list()], NamespaceDescription, *_COLUMNS)
        else:
            _look_after(client, action, name, given)


def _check_options(action: str, given: Mapping[str, object]) -> None:
    """An option that goes with another action would be passed over."""
    for option, actions in _OF.items():
        if given[option] not in (None, False) and action not in actions:
            raise click.UsageError(f"--{option} goes with {' and '.join(actions)}")


def _look_after(client: Client, action: str, name: str, given: Mapping[str, Any]) -> None:
    settings = _Settings(
        storage="memory" if given["memory"] else None,
        retention=given["retention"],
        max_bytes=given["quota"],
        compact=given["compact"],
    )
    match action:
        case "show":
            _show_one(client.namespaces.get(name))
        case "add":
            if _is_there(client, name):
                raise ConflictError(f"namespace {name} is there already: bus namespaces edit {name} changes it")
            client.namespaces.put(name, **settings)
            _note_done(f"made namespace {name}")
        case "edit":
            client.namespaces.get(name)  # a slip of the pen would make another
            client.namespaces.put(name, **settings)
            _note_done(f"changed namespace {name}")
        case _:
            client.namespaces.delete(name)
            _note_done(f"deleted namespace {name}")


def _is_there(client: Client, name: str) -> bool:
    try:
        client.namespaces.get(name)
    except UnknownNamespaceError:
        return False
    return True


def _confirm(name: str) -> None:
    """Have whoever sits at the terminal write the name once more."""
    if not sys.stdin.isatty():
        raise click.UsageError("delete asks on a terminal: give --yes if you are sure")
    if click.prompt(f"All events of {name} will be gone. Its name, to delete it", err=True) != name:
        raise click.UsageError(f"that is not its name: {name} is still there")


def _note_done(what: str) -> None:
    if sys.stderr.isatty():
        note(what)


def _show_one(found: NamespaceDescription) -> None:
    if not sys.stdout.isatty():
        emit(msgspec.json.encode(found))
        return
    for name, value in msgspec.structs.asdict(found).items():
        say(f"{name.replace('_', ' '):<17}{value if value is not None else 'none'}")
