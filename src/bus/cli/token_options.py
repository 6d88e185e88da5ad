"""``--token-file`` and ``BUS_TOKEN``: what a server knows the caller by.

There is no option for the token itself: it would show in the list of processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from bus.config import Secret
from bus.errors import ConfigError

if TYPE_CHECKING:
    from bus.client.core.credentials import Token

Command = Callable[..., Any]


class TokenFile:
    """The token in a file, read whenever it is asked for, so that a file may be replaced while a command runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self) -> Secret:
        """Raises `ConfigError` if the file can't be read or is empty."""
        try:
            token = Secret(self.path.read_text().strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise ConfigError(f"token file {self.path} can't be read: {reason}") from None
        if not token:
            raise ConfigError(f"token file {self.path} is empty: put the token on its first line")
        return token

    def __repr__(self) -> str:
        return f"<TokenFile {self.path}>"


def token_option(side: str = "", *, of: str) -> Callable[[Command], Command]:
    """Add ``--token-file``, with *side* before its name, for the server *of* some role."""
    variable = f"BUS_{side.upper()}TOKEN"
    return click.option(
        f"--{side.replace('_', '-')}token-file",
        f"{side}token_file",
        envvar=f"{variable}_FILE",
        type=Path,
        metavar="FILE",
        help=f"File with the token that {of} knows you by.  [{variable}_FILE, or {variable} with the token]",
    )


def choose_token(file: Path | None, *, side: str = "", kept: Token = "", kept_wins: bool = False) -> Token:
    """The token to send: a file named by a flag, else one of the environment, else what a context has *kept*.

    With *kept_wins* the context was named by a flag, and comes before the environment. Raises `ConfigError`.
    """
    if file is not None and on_command_line(f"{side}token_file"):
        return _checked(TokenFile(file))
    if kept and kept_wins:
        return kept
    variable = f"BUS_{side.upper()}TOKEN"
    token = Secret(os.environ.get(variable, ""))
    if token and file is not None:
        raise ConfigError(f"{variable} and {variable}_FILE are both given: give one of them")
    return token or (_checked(TokenFile(file)) if file is not None else kept)


def on_command_line(parameter: str) -> bool:
    """Whether the running command was given *parameter* by a flag."""
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.COMMANDLINE


def _checked(file: TokenFile) -> TokenFile:
    file()
    return file
