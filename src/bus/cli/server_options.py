"""``--host``, ``--token-file``, ``--ca-file`` … and ``--context``: the server that a command talks to.

where        --host, --context ▶ BUS_HOST, BUS_CONTEXT ▶ the context in use ▶ http://localhost:2021
which token  --token-file, --context ▶ BUS_TOKEN, BUS_TOKEN_FILE ▶ the context that says where
which files  --ca-file …, --context ▶ BUS_CA_FILE … ▶ the context that says where
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from bus.cli.console import note
from bus.cli.context_file import Context, ContextFile, complete_names
from bus.cli.tls_options import choose_tls, tls_options
from bus.cli.token_options import Command, choose_token, on_command_line, token_option
from bus.transfer.server_address import ServerAddress, TlsFiles

DEFAULT_HOST = "http://localhost:2021"

_host_option = click.option(
    "--host", envvar="BUS_HOST", metavar="URL", help=f"Server to talk to.  [BUS_HOST; {DEFAULT_HOST}]"
)
_context_option = click.option(
    "--context",
    envvar="BUS_CONTEXT",
    metavar="NAME",
    shell_complete=complete_names,
    help="Server and token as bus context add kept them.  [BUS_CONTEXT; the one in use]",
)


def server_options(command: Command) -> Command:
    """Add the options that say which server; the command is called with ``server``, a `ServerAddress`, for them."""

    @functools.wraps(command)
    def with_server(
        *, host: str | None, token_file: Path | None, tls: TlsFiles, context: str | None, **options: Any
    ) -> Any:
        return command(**options, server=_choose_server(host, token_file, tls, context))

    return _host_option(token_option(of="the server")(tls_options(of="the server")(_context_option(with_server))))


def _choose_server(host: str | None, token_file: Path | None, tls: TlsFiles, context: str | None) -> ServerAddress:
    chosen = _choose_context(host, context)
    if chosen is None:
        return address(host or DEFAULT_HOST, token_file, tls, parameter="host")
    return in_context(chosen, token_file, tls, named=on_command_line("context"))


def in_context(chosen: Context, token_file: Path | None, tls: TlsFiles, *, named: bool) -> ServerAddress:
    """The server of a context, which comes before the environment if it was *named*."""
    token = choose_token(token_file, kept=chosen.credential, kept_wins=named)
    return check_use(ServerAddress(chosen.host, token, choose_tls(tls, kept=chosen.tls, kept_wins=named)), tls)


def _choose_context(host: str | None, name: str | None) -> Context | None:
    """The context that says where the server is; None if ``--host`` or ``BUS_HOST`` does, or nothing."""
    if on_command_line("context"):
        if on_command_line("host"):
            raise click.UsageError("--host and --context don't go together")
        host = None
    return None if host else ContextFile().find(name)


def address(url: str, token_file: Path | None, tls: TlsFiles, *, parameter: str, side: str = "") -> ServerAddress:
    """The server at *url*, which the command was given as *parameter*, with the token and files that go with it.

    A password in the URL comes before a token of the environment.
    """
    password = ServerAddress(url).endpoint.userinfo
    if password and on_command_line(parameter):
        note("a password in an address shows in the list of processes: a token in a file doesn't")
    has_own = password and not on_command_line(f"{side}token_file")
    token = "" if has_own else choose_token(token_file, side=side)
    return check_use(ServerAddress(url, token, choose_tls(tls, side=side)), tls)


def check_use(server: ServerAddress, given: TlsFiles) -> ServerAddress:
    """*server*, unless files were *given* by flags that it has no use for."""
    if given and not server.endpoint.secure:
        raise click.UsageError(f"files for TLS are given, and {server} is reached without: ask for https://")
    return server
