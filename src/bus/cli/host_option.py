"""``--host``: the server that a command talks to."""

from __future__ import annotations

import click

DEFAULT_HOST = "http://localhost:2021"

host_option = click.option(
    "--host",
    envvar="BUS_HOST",
    default=DEFAULT_HOST,
    metavar="URL",
    help=f"Server to talk to.  [BUS_HOST; {DEFAULT_HOST}]",
)
