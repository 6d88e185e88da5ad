"""``bus context``: names for servers, with the tokens they know one by."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import click
import msgspec

from bus.cli.console import note
from bus.cli.context_file import Context, ContextFile, complete_names
from bus.cli.table_output import TableColumn, show
from bus.cli.token_options import TokenFile
from bus.client.core.credentials import Credentials
from bus.errors import ConfigError
from bus.transfer.server_address import ServerAddress


class _Shown(msgspec.Struct):
    name: str
    host: str
    token: str
    in_use: bool


_COLUMNS: tuple[TableColumn[_Shown], ...] = (
    TableColumn("", lambda row: "*" if row.in_use else ""),
    TableColumn("context", lambda row: row.name),
    TableColumn("host", lambda row: row.host, wraps=True),
    TableColumn("token", lambda row: row.token, wraps=True),
)


@click.command(
    epilog="""\b
Examples:
  bus context add prod --host https://bus.example.com --token-file ~/prod.token
  pass bus/test | bus context add test --host https://test.example.com --token-from-stdin
  bus context use prod
  bus get --subject "orders.>" --context test
"""
)
@click.argument("action", type=click.Choice(["list", "show", "add", "use", "remove"]), default="list")
@click.argument("name", required=False, shell_complete=complete_names)
@click.option("--host", metavar="URL", help="add: the server.")
@click.option("--token-file", type=Path, metavar="FILE", help="add: the file that holds the token, read when needed.")
@click.option("--token-from-stdin", is_flag=True, help="add: keep the token that comes on standard input.")
def context(
    *, action: str, name: str | None, host: str | None, token_file: Path | None, token_from_stdin: bool
) -> None:
    """Keep servers, and the tokens they know you by, under names.

    \b
    list          all of them
    show NAME     one
    add NAME      keep the server --host, with a token in a file or from standard input
    use NAME      have commands talk to it that aren't told another server
    remove NAME   forget it

    They are in ~/.config/bus/contexts.toml ($XDG_CONFIG_HOME), which nobody else may read. A token is never shown.
    """
    file = ContextFile()
    if action != "add" and (host or token_file or token_from_stdin):
        raise click.UsageError(f"{action} takes no options")
    if action == "list":
        show([_row(file, each) for each in file.read().contexts], _Shown, *_COLUMNS)
        return
    if name is None:
        raise click.UsageError(f"{action} needs the NAME of a context")
    match action:
        case "show":
            file.get(name)
            show([_row(file, name)], _Shown, *_COLUMNS)
        case "add":
            file.add(name, _read_context(host, token_file, from_stdin=token_from_stdin))
        case "use":
            file.use(name)
        case "remove":
            file.remove(name)
    if action != "show" and sys.stderr.isatty():
        note(f"{_DONE[action]} {name}")


_DONE = {"add": "added context", "use": "commands now use context", "remove": "removed context"}


def _row(file: ContextFile, name: str) -> Mapping[str, object]:
    found = file.read()
    kept = found.contexts[name]
    token = kept.token_file or ("kept in the file" if kept.token else "none")
    return {"name": name, "host": kept.host, "token": token, "in_use": found.use == name}


def _read_context(host: str | None, token_file: Path | None, *, from_stdin: bool) -> Context:
    if host is None:
        raise click.UsageError("add needs --host, the server's address")
    if token_file and from_stdin:
        raise click.UsageError("--token-file and --token-from-stdin don't go together")
    if ServerAddress(host).endpoint.userinfo:
        raise ConfigError("a context keeps no password: leave it out of --host, and give a token")
    if token_file:
        token_file = token_file.expanduser().absolute()
        _check(TokenFile(token_file)())
        return Context(host, token_file=str(token_file))
    return Context(host, token=_read_token() if from_stdin else "")


def _read_token() -> str:
    token = sys.stdin.read().strip()
    if not token:
        raise ConfigError("standard input holds no token")
    _check(token)
    return token


def _check(token: str) -> None:
    Credentials(token=token)
