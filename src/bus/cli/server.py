"""``bus server``: the settings as options, generated from the one table they are described in."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import click

from bus.cli.console import note
from bus.config import Settings


def _option(field: dataclasses.Field[Any]) -> click.Option:
    about = field.metadata
    value_may_be_left_out: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if field.type == "bool" else {}
    return click.Option(
        [f"--{field.name.replace('_', '-')}"],
        help=f"{about['help']} \n[{about['variable']}; {about['shown']}]",
        metavar=_metavar(field.name),
        **value_may_be_left_out,
    )


def _metavar(name: str) -> str:
    """What stands for the value in the help: the last word of the option's name."""
    return name.rpartition("_")[2].upper()


@click.command(
    params=[_option(field) for field in dataclasses.fields(Settings)],
    epilog="In brackets: the environment variable, which a flag overrides, and the default.",
)
def server(**flags: str | None) -> int:
    """Serve events over HTTP until SIGTERM or Ctrl-C.

    Settings come from flags, then from the environment, then from defaults. Sizes are written like 64MiB,
    durations like 500ms or 5s.

    \b
    Example:
      bus server --addr :2021 --path ./data --namespaces app,orders
    """
    settings = Settings.read(flags, os.environ)
    if flags["secret_key"]:
        note("--secret-key shows in the list of processes: BUS_SECRET_KEY or --secret-key-file keeps it private")
    # Imported late, so that `bus server --help` and a bad flag answer without loading the server.
    from bus.server.run import serve

    return serve(settings)
