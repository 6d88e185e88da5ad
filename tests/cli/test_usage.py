"""Help, versions and mistakes: what a newcomer meets first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bus import __version__
from bus.build import BUILD
from bus.cli.main import COMMANDS
from tests.support import clean_environment, run_bus

REMOTE = ["put", "get", "ack", "consumers", "dead"]
"""The commands that only ever ask a server."""


def test_the_help_names_every_command() -> None:
    shown = run_bus("--help")
    assert shown.returncode == 0
    assert all(f"\n  {command} " in shown.stdout.decode() for command in COMMANDS)
    assert run_bus().stdout == run_bus("-h").stdout == shown.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = run_bus(command, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"Usage: bus {command} ".encode())
    assert not shown.stderr


def test_version() -> None:
    assert run_bus("--version").stdout.decode() == f"bus {__version__} ({BUILD})\n"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["servr"], "bus: no such command servr (did you mean server?)"),
        (["frobnicate"], "bus: no such command 'frobnicate'; see bus --help"),
        (["--frobnicate"], "bus: no such option --frobnicate; see bus --help"),
        (["server", "--namespace", "app"], "bus: no such option --namespace (did you mean --namespaces or --compact?)"),
        (["server", "--addr"], "bus: option '--addr' requires an argument"),
        (["server", "app"], "bus: got unexpected extra argument (app); see bus server --help"),
        (["completion", "tcsh"], "bus: shell: 'tcsh' is not one of 'bash', 'zsh', 'fish'"),
        (["completion"], "bus: shell is required; see bus completion --help"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(args: list[str], line: str) -> None:
    answer = run_bus(*args)
    assert answer.stderr.decode() == line + "\n"
    assert answer.returncode == 2
    assert not answer.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    script = run_bus("completion", shell)
    assert script.returncode == 0
    assert b"_BUS_COMPLETE" in script.stdout


def test_the_completion_script_completes_in_bash(tmp_path: Path) -> None:
    """Bash itself runs the script, with `bus` on its path."""
    command = tmp_path / "bus"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m bus "$@"\n')
    command.chmod(0o755)
    lines = 'eval "$(bus completion bash)"; COMP_WORDS=(bus ser); COMP_CWORD=1; _bus_completion bus; echo "$COMPREPLY"'
    environment = clean_environment()
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    answer = subprocess.run(["bash", "-c", lines], env=environment, capture_output=True, timeout=20)
    assert answer.stdout == b"server\n"


def test_the_command_without_the_server_extra_says_how_to_get_it() -> None:
    """Only what a plain `pip install busd` brings can be imported."""
    blocked = "import sys; sys.modules['click'] = None; from bus.__main__ import main; sys.exit(main())"
    answer = subprocess.run([sys.executable, "-c", blocked], env=clean_environment(), capture_output=True, timeout=20)
    assert answer.stderr == b'bus: click is not installed: pip install "busd[server]"\n'
    assert answer.returncode == 1


@pytest.mark.parametrize(
    ("args", "heavy"),
    [
        ([], ["rich", "asyncio", "uvloop", "bus.server", "bus.client", "bus.engine", "bus.storage"]),
        (["server"], ["rich", "asyncio", "uvloop", "bus.server", "bus.client", "bus.engine", "bus.storage"]),
        *(([command], ["rich", "uvloop", "bus.server", "bus.storage"]) for command in REMOTE),
    ],
)
def test_a_command_loads_only_what_it_uses(args: list[str], heavy: list[str]) -> None:
    """What keeps commands quick; a time would say more about the machine."""
    run = f"from bus.cli.main import run; run([*{args}, '--help'])"
    code = f"import sys; {run}; print(sorted({{*{heavy}}} & {{*sys.modules}}))"
    shown = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, timeout=20)
    assert shown.stdout.splitlines()[-1] == b"[]"
