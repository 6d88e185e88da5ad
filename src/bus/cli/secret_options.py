"""How a command is told the secret of a data directory: by a file, by the environment, or by a flag with a warning."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bus.cli.console import note
from bus.config import Secret, parse_block_size, read_secret
from bus.storage import Cipher
from bus.storage.cipher import DEFAULT_BLOCK

Command = Callable[..., Any]

block_size_option = click.option(
    "--block-size",
    envvar="BUS_BLOCK_SIZE",
    type=parse_block_size,
    default="4096",
    metavar="SIZE",
    help="Plaintext bytes an encrypted block holds.  [BUS_BLOCK_SIZE; 4096]",
)


def make_cipher(secret: Secret, block_size: int = DEFAULT_BLOCK) -> Cipher | None:
    """What opens and encrypts logs with *secret*; None if that is empty, and logs are plain."""
    return Cipher(secret, block_size=block_size) if secret else None


def secret_options(side: str = "", *, of: str) -> Callable[[Command], Command]:
    """Add ``--secret-key`` and ``--secret-key-file``, with *side* before their names, for a directory *of* some role.

    The command is called with ``secret`` (or ``src_secret`` …) in their place: a `Secret`, empty if there is none.
    """
    key, file = f"{side}secret_key", f"{side}secret_key_file"

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def with_secret(**options: Any) -> Any:
            given, path = options.pop(key), options.pop(file)
            _warn_if_shown(key)
            return command(**options, **{f"{side}secret": read_secret(Secret(given or ""), path)})

        return _option(key, f"Secret that {of} is encrypted with.", "KEY", str)(
            _option(file, "File that holds the secret.", "FILE", Path)(with_secret)
        )

    return decorate


def _option(name: str, help: str, metavar: str, kind: type) -> Callable[[Command], Command]:
    variable = f"BUS_{name.upper()}"
    return click.option(
        f"--{_dashed(name)}", name, envvar=variable, type=kind, metavar=metavar, help=f"{help}  [{variable}]"
    )


def _warn_if_shown(key: str) -> None:
    if click.get_current_context().get_parameter_source(key) is ParameterSource.COMMANDLINE:
        flag = f"--{_dashed(key)}"
        note(f"{flag} shows in the list of processes: BUS_{key.upper()} or {flag}-file keeps it private")


def _dashed(name: str) -> str:
    return name.replace("_", "-")
