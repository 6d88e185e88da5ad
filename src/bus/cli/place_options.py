"""Options of the commands that move events: the place they are in, which namespaces, what to do with odd ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

path_option = click.option(
    "--path",
    envvar="BUS_PATH",
    default="./data",
    metavar="DIR|URL",
    help="Data directory, or address of a server.  [BUS_PATH; ./data]",
)


def namespace_option(help: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``--namespace``, given to the command as ``only``: a list, empty for all."""
    return click.option("--namespace", "only", multiple=True, callback=_split, metavar="NAME", help=help)


def _split(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for value in values for name in value.split(",") if name))


skip_invalid_option = click.option(
    "--skip-invalid", is_flag=True, help="Leave out events that can't be taken, and name them."
)
