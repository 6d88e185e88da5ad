"""``bus context``: names for servers, with the tokens they know one by."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click
import msgspec

from bus.cli.console import note
from bus.cli.context_file import Context, ContextFile, complete_names
from bus.cli.server_options import check_use
from bus.cli.table_output import TableColumn, show
from bus.cli.tls_options import tls_options
from bus.cli.token_options import TokenFile
from bus.client.core.credentials import Credentials
from bus.errors import ConfigError
from bus.transfer.server_address import ServerAddress, TlsFiles


class _Shown(msgspec.Struct):
    name: str
    host: str
    token: str
    tls: str
    in_use: bool


_COLUMNS: tuple[TableColumn[_Shown], ...] = (
    TableColumn("", lambda row: "*" if row.in_use else ""),
    TableColumn("context", lambda row: row.name),
    TableColumn("host", lambda row: row.host, wraps=True),
    TableColumn("token", lambda row: row.token, wraps=True),
    TableColumn("tls", lambda row: row.tls, wraps=True),
)


@click.command(
    epilog="""\b
Examples:
  bus context add prod --host https://bus.example.com --token-file ~/prod.token
  pass bus/test | bus context add test --host https://test.example.com --token-from-stdin
  bus context add own --host https://bus.internal --ca-file authority.pem --cert-file me.pem --key-file me.key
  bus context use prod
  bus get --subject "orders.>" --context test
"""
)
@click.argument("action", type=click.Choice(["list", "show", "add", "use", "remove"]), default="list")
@click.argument("name", required=False, shell_complete=complete_names)
@click.option("--host", metavar="URL", help="add: the server.")
@click.option("--token-file", type=Path, metavar="FILE", help="add: the file that holds the token, read when needed.")
@click.option("--token-from-stdin", is_flag=True, help="add: keep the token that comes on standard input.")
@tls_options(of="the server")
def context(
    *, action: str, name: str | None, host: str | None, token_file: Path | None, token_from_stdin: bool, tls: TlsFiles
) -> None:
    """Keep servers, and what they know you by, under names.

    \b
    list          all of them
    show NAME     one
    add NAME      keep the server --host, with a token in a file or from standard input, and files for TLS
    use NAME      have commands talk to it that aren't told another server
    remove NAME   forget it

    They are in ~/.config/bus/contexts.toml ($XDG_CONFIG_HOME), which nobody else may read. A token is never shown.
    """
    file = ContextFile()
    if action != "add" and (host or token_file or token_from_stdin or tls):
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
            file.add(name, _read_context(host, token_file, tls, from_stdin=token_from_stdin))
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
    tls = "; ".join(f"{key}={value}" for key, value in asdict(kept.tls).items() if value) or "none"
    return {"name": name, "host": kept.host, "token": token, "tls": tls, "in_use": found.use == name}


def _read_context(host: str | None, token_file: Path | None, tls: TlsFiles, *, from_stdin: bool) -> Context:
    if host is None:
        raise click.UsageError("add needs --host, the server's address")
    if token_file and from_stdin:
        raise click.UsageError("--token-file and --token-from-stdin don't go together")
    if ServerAddress(host).endpoint.userinfo:
        raise ConfigError("a context keeps no password: leave it out of --host, and give a token")
    files = _read_files(host, tls)
    if token_file:
        token_file = token_file.expanduser().absolute()
        _check(TokenFile(token_file)())
        return Context(host, str(token_file), "", *files)
    return Context(host, "", _read_token() if from_stdin else "", *files)


def _read_files(host: str, given: TlsFiles) -> list[str]:
    """Where those *given* are, once it is seen that they can be used. Raises `InvalidParameterError`."""
    found = [path and path.expanduser().absolute() for path in (given.ca, given.certificate, given.key)]
    check_use(ServerAddress(host, tls=given), given)
    TlsFiles(*found).context(ServerAddress(host).endpoint)
    return [str(path or "") for path in found]


def _read_token() -> str:
    token = sys.stdin.read().strip()
    if not token:
        raise ConfigError("standard input holds no token")
    _check(token)
    return token


def _check(token: str) -> None:
    Credentials(token=token)
