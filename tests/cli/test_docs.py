"""docs/cli.md says what the command does: every option is in it, and none that doesn't exist."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import click
import pytest

from bus.cli.main import COMMANDS, bus
from bus.config import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
EVERYWHERE = {"--help", "-h", "--host"}


def _section(command: str) -> str:
    return PAGE.partition(f"\n## bus {command}\n")[2].partition("\n## ")[0]


def _options(command: str) -> set[str]:
    found = bus.get_command(click.Context(bus), command)
    assert found is not None
    return {name for param in found.params if isinstance(param, click.Option) for name in param.opts}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_each_command_are_in_its_table(command: str) -> None:
    table = "\n".join(line.split("|")[1] for line in _section(command).splitlines() if line.startswith("| `"))
    documented = {name.split("=")[0] for name in re.findall(r"(?<!\S)`(--?[a-z][^` ]*)", table)}
    assert documented == _options(command) - EVERYWHERE


def test_the_settings_are_as_they_are() -> None:
    section = _section("server")
    for field in dataclasses.fields(Settings):
        flag, about = f"--{field.name.replace('_', '-')}", field.metadata
        default = f"`{about['default']}`" if about["default"] else about["shown"]
        assert f"| `{flag}` | `{about['variable']}` | {default} | " in section
