"""``bus completion``: what a shell needs to complete the command line."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SETUP = {
    "bash": "bus completion bash > ~/.local/share/bash-completion/completions/bus",
    "zsh": "bus completion zsh > ~/.zfunc/_bus   (with fpath+=~/.zfunc before compinit)",
    "fish": "bus completion fish > ~/.config/fish/completions/bus.fish",
}


@click.command(epilog="\b\nTo set it up for good:\n  " + "\n  ".join(_SETUP.values()))
@click.argument("shell", type=click.Choice(list(_SETUP)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes bus on the Tab key, for bash, zsh or fish."""
    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(ctx.find_root().command, {}, "bus", "_BUS_COMPLETE").source())
