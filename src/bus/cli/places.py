"""Places that hold events, a directory or the address of a server, and the namespaces in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from bus.errors import UnknownNamespaceError
from bus.subject import DEAD_SEGMENT

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


def is_address(place: str) -> bool:
    """Whether *place* is the address of a server rather than a directory."""
    return place.startswith(("http://", "https://"))


def choose(present: Sequence[str], only: Sequence[str], *, place: str) -> list[str]:
    """The namespaces that are *present* in *place*, or *only* some of them. Raises `UnknownNamespaceError`."""
    for name in only:
        if name not in present:
            raise UnknownNamespaceError(f"namespace {name!a} is not in {place}, which has {', '.join(present)}")
    return list(only or present)


def everything_in(namespace: str) -> list[str]:
    """The patterns that take all events of *namespace*: wildcards alone leave out dead letters."""
    return [f"{namespace}.>", f"{namespace}.{DEAD_SEGMENT}.>"]
