"""``--ca-file``, ``--cert-file`` and ``--key-file``: whom a command trusts, and the certificate it shows."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from bus.cli.token_options import Command
from bus.transfer.server_address import NO_FILES, TlsFiles

_FILES = {
    "ca_file": "PEM file with the authorities that {of}'s certificate is trusted by, in place of the system's.",
    "cert_file": "PEM file with the certificate to show to {of}, and its key unless --{side}key-file has that.",
    "key_file": "PEM file with the key of that certificate.",
}


def tls_options(side: str = "", *, of: str) -> Callable[[Command], Command]:
    """Add the options, with *side* before their names, for the server *of* some role.

    The command is called with ``tls`` (or ``src_tls`` …) in their place: the `TlsFiles` that the flags name.
    """

    def decorate(command: Command) -> Command:
        def with_files(**options: Any) -> Any:
            files = TlsFiles(*[options.pop(f"{side}{name}") for name in _FILES])
            if files.key and not files.certificate:
                raise click.UsageError(f"--{_dashed(side)}key-file needs --{_dashed(side)}cert-file")
            return command(**options, **{f"{side}tls": files})

        decorated: Command = functools.wraps(command)(with_files)
        for name, help in reversed(_FILES.items()):
            decorated = _option(side, name, help.format(of=of, side=_dashed(side)))(decorated)
        return decorated

    return decorate


def _option(side: str, name: str, help: str) -> Callable[[Command], Command]:
    """One of them; the environment is read when it is known what else says where the files are."""
    variable = f"BUS_{side}{name}".upper()
    return click.option(
        f"--{_dashed(side + name)}", f"{side}{name}", type=Path, metavar="FILE", help=f"{help}  [{variable}]"
    )


def choose_tls(
    given: TlsFiles,
    *,
    side: str = "",
    kept: TlsFiles = NO_FILES,
    kept_wins: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> TlsFiles:
    """The files to use: those *given* by flags, else of the environment, else what a context has *kept*.

    With *kept_wins* the context was named by a flag, and comes before the environment.
    """
    found = [Path(text) if (text := environ.get(f"BUS_{side}{name}".upper())) else None for name in _FILES]
    environment = TlsFiles(*found)
    return given.or_else(kept).or_else(environment) if kept_wins else given.or_else(environment).or_else(kept)


def _dashed(name: str) -> str:
    return name.replace("_", "-")
