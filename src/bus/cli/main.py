"""The group of commands, and the edge where every error becomes one line and an exit status.

0  it worked
1  it failed: one line on standard error says what happened and what to do
2  wrong usage, a setting that can't be read: one line as well
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import click

from bus import __version__
from bus.build import BUILD
from bus.cli.console import OutputClosedError, complain, forget_output, note, reason, writing
from bus.errors import BusError, ConfigError, InvalidParameterError

COMMANDS = {
    "server": ("bus.cli.server:server", "Serve events over HTTP."),
    "put": ("bus.cli.put:put", "Publish one event, or each line of a file."),
    "get": ("bus.cli.get:get", "Print events as they come."),
    "ack": ("bus.cli.ack:ack", "Acknowledge an event, or give it back."),
    "events": ("bus.cli.events:events", "Print stored events, the newest first."),
    "top": ("bus.cli.top:top", "Watch what goes on in a server."),
    "namespaces": ("bus.cli.namespaces:namespaces", "List namespaces, or show one."),
    "subjects": ("bus.cli.subjects:subjects", "List subjects: how many events each has, and the newest."),
    "consumers": ("bus.cli.consumers:consumers", "List durable consumers, or look after one."),
    "schedule": ("bus.cli.schedule:schedule", "List events that are published later, cancel them, or have one recur."),
    "dead": ("bus.cli.dead:dead", "List events given up, send them back, or forget them."),
    "delete": ("bus.cli.delete:delete", "Delete events for good."),
    "token": ("bus.cli.token:token", "Make, list, check or revoke the tokens of a server."),
    "debug": ("bus.cli.debug:debug", "Show what a data directory or a server holds."),
    "dump": ("bus.cli.dump:dump", "Write all events as NDJSON."),
    "restore": ("bus.cli.restore:restore", "Store the events of a dump."),
    "copy": ("bus.cli.copy:copy", "Copy events, also from one secret key to another."),
    "verify": ("bus.cli.verify:verify", "Check every byte of a data directory."),
    "bench": ("bus.cli.bench:bench", "Measure how much a running server takes."),
    "context": ("bus.cli.context:context", "Keep servers and tokens under names."),
    "completion": ("bus.cli.completion:completion", "Print what your shell needs to complete bus."),
}
"""Each command, where it lives and what the help says of it, in order; a module is imported when it is asked for."""


class Commands(click.Group):
    """A group that imports a command when it is named, so that each starts as fast as it can."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command explains itself: bus put --help",
)
@click.version_option(__version__, "--version", message=f"bus %(version)s ({BUILD})")
@click.pass_context
def bus(ctx: click.Context) -> None:
    """A persistent message bus: publish and subscribe from the shell, or serve.

    \b
    Start here:
      bus server --namespaces app
      bus put --subject app.test --data '{"hello": "world"}'
      bus get --subject "app.*" --start oldest
    """
    if ctx.invoked_subcommand is None:
        with writing():
            click.echo(ctx.get_help())


def run(args: Sequence[str]) -> int:
    """Run one command line (without the program's name) and return its exit status."""
    try:
        return _run(args)
    except click.UsageError as error:
        return complain(_usage_line(error), status=error.exit_code)
    except click.ClickException as error:
        return complain(error.format_message())
    except (ConfigError, InvalidParameterError) as error:
        return complain(error.message, status=2)
    except BusError as error:
        return complain(error.message)
    except click.Abort:
        return complain("interrupted")
    except OutputClosedError:
        return 0
    except OSError as error:
        if not error.filename:  # it may be of printing
            forget_output()
        return complain(f"{os.fsdecode(error.filename)}: {reason(error)}" if error.filename else reason(error))
    except Exception as error:
        return complain(_unexpected(error))


def _run(args: Sequence[str]) -> int:
    try:
        return bus.main(args, prog_name="bus", standalone_mode=False) or 0
    except SystemExit:  # click's way of ending when nobody reads what it prints, such as help
        raise OutputClosedError from None


def _unexpected(error: Exception) -> str:
    """A fault of the command itself: where it is, for whoever mends it."""
    if os.environ.get("BUS_LOG_LEVEL", "").upper() == "DEBUG":
        for line in "".join(traceback.format_exception(error)).splitlines():
            note(line)
    *_, at = traceback.extract_tb(error.__traceback__)
    where = f"{Path(at.filename).name}:{at.lineno}"
    return f"unexpected {type(error).__name__} at {where}: {error}; BUS_LOG_LEVEL=DEBUG shows more, please report it"


def _usage_line(error: click.UsageError) -> str:
    """What was wrong with the command line, in one line that says what to type instead."""
    where = f"see {error.ctx.command_path} --help" if error.ctx else "see bus --help"
    match error:
        case click.NoSuchOption(option_name=name, possibilities=[*guesses]) if guesses:
            return f"no such option {name} (did you mean {' or '.join(guesses)}?)"
        case click.NoSuchCommand(command_name=name, possibilities=[*guesses]) if guesses:
            return f"no such command {name} (did you mean {' or '.join(guesses)}?)"
        case click.NoSuchOption(option_name=name):
            return f"no such option {name}; {where}"
        case click.MissingParameter(param=click.Parameter() as param):
            return f"{param.opts[0]} is required; {where}"
        case click.BadParameter(param=click.Parameter() as param):
            return f"{param.opts[0]}: {error.message.rstrip('.')}"
        case click.BadOptionUsage():
            return _as_clause(error.format_message())
        case _:
            return f"{_as_clause(error.format_message())}; {where}"


def _as_clause(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:].rstrip(".")
