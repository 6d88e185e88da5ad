"""Options of the commands that move events: the place they are in, which namespaces, what to do with odd ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from bus.cli.context_file import ContextFile, complete_names
from bus.cli.server_options import address, in_context
from bus.cli.tls_options import tls_options
from bus.cli.token_options import Command, on_command_line, token_option
from bus.transfer.event_source import Place
from bus.transfer.server_address import TlsFiles

_path_option = click.option(
    "--path",
    envvar="BUS_PATH",
    default="./data",
    metavar="DIR|URL",
    help="Data directory, or address of a server.  [BUS_PATH; ./data]",
)
_context_option = click.option(
    "--context",
    metavar="NAME",
    shell_complete=complete_names,
    help="In place of --path: server and token as bus context add kept them.",
)


def place_options(command: Command) -> Command:
    """Add ``--path``, ``--token-file``, ``--ca-file`` … and ``--context``; the command gets ``place``, a `Place`."""

    @functools.wraps(command)
    def with_place(*, path: str, token_file: Path | None, tls: TlsFiles, context: str | None, **options: Any) -> Any:
        return command(**options, place=_choose_place(path, token_file, tls, context))

    return _path_option(token_option(of="a server")(tls_options(of="a server")(_context_option(with_place))))


def _choose_place(path: str, token_file: Path | None, tls: TlsFiles, context: str | None) -> Place:
    if context is None:
        return _place(path, token_file, tls, parameter="path")
    if on_command_line("path"):
        raise click.UsageError("--path and --context don't go together")
    return in_context(ContextFile().get(context), token_file, tls, named=True)


def side_options(flag: str, name: str, *, side: str, help: str) -> Callable[[Command], Command]:
    """Add *flag*, a place, and the files with *side* before their names; the command gets a `Place` as *name*."""
    server = f"the server in {flag}"

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_side(**options: Any) -> Any:
            token_file, tls = options.pop(f"{side}token_file"), options.pop(f"{side}tls")
            options[name] = _place(options[name], token_file, tls, parameter=name, side=side)
            return command(**options)

        place = click.option(flag, name, required=True, metavar="DIR|URL", help=help)
        return place(token_option(side, of=server)(tls_options(side, of=server)(with_side)))

    return decorate


def _place(text: str, token_file: Path | None, tls: TlsFiles, *, parameter: str, side: str = "") -> Place:
    if text.startswith(("http://", "https://")):
        return address(text, token_file, tls, parameter=parameter, side=side)
    for file in ("token_file", "ca_file", "cert_file"):
        if on_command_line(f"{side}{file}"):
            flag = f"--{side}{file}".replace("_", "-")
            raise click.UsageError(f"{flag} is for a server, and {text} is a directory")
    return Path(text)


def namespace_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--namespace``, given to the command as ``only``: a list, empty for all."""
    return click.option("--namespace", "only", multiple=True, callback=_split, metavar="NAME", help=help)


def _split(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for value in values for name in value.split(",") if name))


skip_invalid_option = click.option(
    "--skip-invalid", is_flag=True, help="Leave out events that can't be taken, and name them."
)
