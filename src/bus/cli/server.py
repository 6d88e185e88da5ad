"""``bus server``: the settings as options, generated from the one table they are described in."""

from __future__ import annotations

import os
from typing import Any

import click

from bus import __version__
from bus.cli.console import note
from bus.config import Settings
from bus.config.options import OPTIONS, Option


def _option(option: Option) -> click.Option:
    value_may_be_left_out: dict[str, Any] = {"is_flag": False, "flag_value": "true"} if option.is_switch else {}
    return click.Option(
        [option.flag],
        help=f"{option.help} \n[{option.variable}; {option.shown or option.default}]",
        metavar=_metavar(option.name),
        **value_may_be_left_out,
    )


def _metavar(name: str) -> str:
    """What stands for the value in the help: the last word of the option's name."""
    return name.rpartition("_")[2].upper()


@click.command(
    params=[_option(option) for option in OPTIONS],
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

    return serve(settings, version=__version__)
