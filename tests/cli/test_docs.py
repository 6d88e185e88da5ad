"""docs/cli.md says what the command does: its options are all there are, and its examples are understood."""

from __future__ import annotations

import re
import shlex
from itertools import takewhile
from pathlib import Path

import click
import pytest

from bus.cli.context_file import ContextFile
from bus.cli.main import COMMANDS, bus
from bus.config.options import OPTIONS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
EVERYWHERE = {"--help", "-h", "--host", "--token-file", "--context", "--ca-file", "--cert-file", "--key-file"}
"""Options that the page describes once for all commands."""


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
    assert documented - EVERYWHERE == _options(command) - EVERYWHERE


def test_the_settings_are_as_they_are() -> None:
    section = _section("server")
    for option in OPTIONS:
        default = f"`{option.default}`" if option.default else option.shown
        assert f"| `{option.flag}` | `{option.variable}` | {default} | " in section


def _examples() -> list[list[str]]:
    """The words after ``bus`` of each command in the blocks of the page, without what a shell does around them."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = [_words(line) for language, text in blocks if not language for line in text.splitlines()]
    commands = [words[words.index("bus") + 1 :] for words in lines if "bus" in words]
    return [list(takewhile(lambda word: word not in ("|", ">", "&&"), words)) for words in commands]


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def test_the_examples_are_understood() -> None:
    examples = _examples()
    assert len(examples) > 30
    for name, *arguments in examples:
        command = bus.get_command(click.Context(bus), name)
        assert command is not None, name
        command.make_context(name, arguments)


def test_the_file_of_contexts_is_read_as_shown(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "contexts.toml"
    file.touch(0o600)
    file.write_text(shown)
    contexts = ContextFile(file).read()
    assert contexts.contexts[contexts.use].token_file
