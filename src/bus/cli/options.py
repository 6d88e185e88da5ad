"""What several commands share: kinds of values, and the way to a server."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import click

from bus.errors import BusError, ConnectionFailedError, InvalidParameterError
from bus.units import parse_duration

if TYPE_CHECKING:
    from bus.client import Client
    from bus.client.core.request import Endpoint

PATIENCE = 5.0
"""Seconds that a command waits for the answer to something short."""

DEFAULT_HOST = "http://localhost:2021"


class Duration(click.ParamType[float]):
    """A duration such as ``500ms``, ``5s`` or ``1m30s``, in seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else parse_duration(value)
        except BusError as error:
            self.fail(error.message, param, ctx)


class Durations(click.ParamType[tuple[float, ...]]):
    """One duration or several, separated by commas, in seconds."""

    name = "durations"

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(Duration().convert(part, param, ctx) for part in value.split(","))


_LONGEST_INDEX = 18
"""Digits; no index has more, and Python refuses to read thousands."""


def read_index(text: str) -> int | None:
    """An index of an event, None if *text* is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_INDEX else None


host_option = click.option(
    "--host",
    envvar="BUS_HOST",
    default=DEFAULT_HOST,
    metavar="URL",
    help=f"Server to talk to.  [BUS_HOST; {DEFAULT_HOST}]",
)


def connect(host: str, *, timeout: float) -> Client:
    """A client of the server at *host* whose calls take *timeout* seconds at most.

    Raises `ConnectionFailedError` when nobody listens there. The client by itself would try until its time is up,
    which suits a service that starts together with its server; a person wants to know at once.
    """
    from bus.client import Client

    endpoint = parse_host(host)
    try:
        socket.create_connection((endpoint.host, endpoint.port), timeout).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConnectionFailedError(f"can't reach {endpoint}: {reason}; is the server running there?") from None
    return Client(host, timeout=timeout)


def parse_host(host: str) -> Endpoint:
    """Where the server at the URL *host* is. Raises `InvalidParameterError`, also for a name that none can have."""
    from bus.client.core.request import Endpoint

    endpoint = Endpoint.parse(host)
    try:
        str(endpoint)
    except UnicodeError:
        raise InvalidParameterError(f"server {host[:80]!a} can't be read: its name has an empty or long part") from None
    return endpoint
