"""``bus token``: the tokens of a token file, and the certificates it names."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from bus.access.answers import RIGHTS, answer
from bus.access.principal import Proof
from bus.access.tables import LimitsTable, TokenTable
from bus.access.token import hash_of, new_token
from bus.access.token_document import TokenDocument
from bus.access.token_file import read_token_file
from bus.cli.console import complain, note, say
from bus.cli.table_output import TableColumn, show
from bus.errors import BusError, ConfigError
from bus.units import SECOND_NS, parse_duration, parse_time


class _Shown(msgspec.Struct):
    """What the table shows of a token or a certificate."""

    name: str
    kind: str
    rights: str
    limits: str
    expires: str


_COLUMNS: tuple[TableColumn[_Shown], ...] = (
    TableColumn("name", lambda row: row.name, wraps=True),
    TableColumn("kind", lambda row: row.kind),
    TableColumn("rights", lambda row: row.rights, wraps=True),
    TableColumn("limits", lambda row: row.limits, wraps=True),
    TableColumn("expires", lambda row: row.expires),
)


Command = Callable[..., Any]


def _patterns(name: str, help: str) -> Callable[[Command], Command]:
    return click.option(name, multiple=True, metavar="PATTERN", help=f"{help}; may be repeated.")


def _limit(name: str, kind: type, metavar: str, help: str) -> Callable[[Command], Command]:
    return click.option(f"--limit-{name}", type=kind, metavar=metavar, help=help)


@click.command(
    epilog="""\b
Examples:
  bus token add billing --subscribe "orders.>" --consumers billing --reply --expires 90d
  bus token add shop --publish "orders.>" --limit-requests 500/s
  bus token list
  bus token check billing publish orders.paid
  bus token revoke billing
"""
)
@click.argument("action", type=click.Choice(["add", "list", "revoke", "check"]))
@click.argument("name", required=False)
@click.argument("right", type=click.Choice(RIGHTS), required=False)
@click.argument("subject", required=False)
@click.option(
    "--auth", "path", envvar="BUS_AUTH", type=Path, required=True, metavar="FILE", help="The token file.  [BUS_AUTH]"
)
@_patterns("--publish", "Subjects it may publish to")
@_patterns("--subscribe", "Patterns it may subscribe to")
@click.option("--consumers", multiple=True, metavar="NAME", help="Durable consumers it may use; may be repeated.")
@click.option("--manage", multiple=True, metavar="NAME", help="Consumers, or patterns, it may manage; may be repeated.")
@click.option("--reply", is_flag=True, help="It may answer what it is delivered.")
@click.option("--metrics", is_flag=True, help="It may read the metrics.")
@click.option("--admin", is_flag=True, help="It may do everything.")
@_limit("requests", str, "RATE", "Requests it may send, like 500/s.")
@_limit("bytes", str, "RATE", "Bytes of bodies it may send, like 5MB/s.")
@_limit("streams", int, "NUMBER", "Streams it may have open at once.")
@_limit("consumers", int, "NUMBER", "Durable consumers it may use at once.")
@click.option("--expires", metavar="WHEN", help="A time like 2027-01-01T00:00:00Z, or how long it holds: 90d.")
def token(*, action: str, name: str | None, right: str | None, subject: str | None, path: Path, **given: Any) -> int:
    """Look after the tokens of a token file, which a server reads anew when it changes.

    \b
    add NAME            make a token and show it: only its hash is kept
    list                each token and certificate, what it may do, and until when
    revoke NAME         take a token or certificate out of the file; its streams end
    check NAME RIGHT [SUBJECT]
                        whether that token or certificate may: publish SUBJECT, subscribe PATTERN,
                        consumers NAME, manage NAME, reply, metrics, admin
    """
    if action == "list":
        return _list(path)
    if not name:
        raise click.UsageError(f"{action} needs the NAME of a token")
    if action == "add":
        return _add(TokenDocument(path), name, given)
    if action == "revoke":
        TokenDocument(path).remove(name)
        return 0
    return _check(path, name, right, subject or "")


def _add(document: TokenDocument, name: str, given: dict[str, Any]) -> int:
    """Write its hash, then show the token alone, so that a script can take it."""
    made = new_token()
    expires = _read_expiry(given.pop("expires"))
    limits = {key: given.pop(f"limit_{key}") for key in LimitsTable.__struct_fields__}
    lists = {key: list(value) for key, value in given.items() if isinstance(value, tuple)}
    table = TokenTable(hash=hash_of(made), expires=expires, **(given | lists))
    if any(value is not None for value in limits.values()):
        table.limits = LimitsTable(**limits)
    document.add(name, table)
    note(f"token {name}, which is shown this once:")
    say(made)
    return 0


def _read_expiry(text: str | None) -> datetime | None:
    """A time, or how long from now on. Raises `ConfigError`."""
    if not text:
        return None
    try:
        moment = parse_time(text) if "-" in text else time.time_ns() + int(parse_duration(text) * SECOND_NS)
    except BusError:
        known = "a time like 2027-01-01T00:00:00Z, or a duration like 90d"
        raise ConfigError(f"--expires {text[:80]!a} can't be read: give {known}") from None
    return datetime.fromtimestamp(moment // SECOND_NS, UTC)


def _list(path: Path) -> int:
    document = TokenDocument(path)
    kinds = ((Proof.TOKEN, "tokens"), (Proof.CERTIFICATE, "certs"))
    rows = [_row(kind, name, table) for kind, key in kinds for name, table in document.tables(key).items()]
    show(rows, _Shown, *_COLUMNS)
    return 0


def _row(kind: Proof, name: str, table: dict[str, Any]) -> dict[str, object]:
    limits, expires = table.get("limits", {}), table.get("expires")
    return {
        "name": name,
        "kind": kind,
        "rights": _rights(table),
        "limits": "; ".join(f"{key} {value}" for key, value in limits.items()) or "none",
        "expires": expires.isoformat() if expires else "never",
    }


def _rights(table: dict[str, Any]) -> str:
    """What a token may do, in a line."""
    parts = [f"{key} {' '.join(table[key])}" for key in RIGHTS if isinstance(table.get(key), list) and table[key]]
    return "; ".join([*parts, *(key for key in RIGHTS if table.get(key) is True)]) or "none"


def _check(path: Path, name: str, right: str | None, subject: str) -> int:
    if not right:
        raise click.UsageError(f"check needs a RIGHT: {', '.join(RIGHTS)}")
    principal = read_token_file(path).named(name)
    if principal is None:
        raise ConfigError(f"token or certificate {name[:80]!a} is not in {path}: see bus token list")
    missing = answer(principal, right, subject, now=time.time_ns())
    if missing:
        return complain(missing)
    say("yes")
    return 0
