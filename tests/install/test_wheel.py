"""The wheel in clean environments, by each of the installers people use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bus import __version__
from tests.support import clean_environment

TOOLS = Path(sys.executable).parent
HERE = sys.executable


def _output(*command: str | Path, cwd: Path, **environment: str) -> str:
    settings = clean_environment(**environment)
    done = subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _make_environment(path: Path) -> Path:
    """An empty virtual environment and the folder of its programs."""
    _output(HERE, "-m", "venv", "--without-pip", path, cwd=path.parent)
    return path / "bin"


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_the_server_in_a_clean_environment(wheel: Path, tmp_path: Path, installer: str) -> None:
    programs = _make_environment(tmp_path / "clean")
    install = {
        "pip": (HERE, "-m", "pip", "--python", programs / "python", "install"),
        "uv": (TOOLS / "uv", "pip", "install", "--python", programs / "python"),
    }[installer]
    _output(*install, "--quiet", f"{wheel}[server]", cwd=tmp_path)
    assert _output(programs / "bus", "--version", cwd=tmp_path) == f"bus {__version__} (pure)\n"
    assert _output(programs / "python", "-m", "bus", "--version", cwd=tmp_path) == f"bus {__version__} (pure)\n"
    assert "BUS_NAMESPACES" in _output(programs / "bus", "server", "--help", cwd=tmp_path)


def test_who_can_use_the_compiled_wheel_gets_it(wheels: Path, tmp_path: Path) -> None:
    assert {path.name.split("-")[-1].partition(".")[0] for path in wheels.iterdir()} == {
        "manylinux2014_x86_64", "any",
    }  # fmt: skip
    programs = _make_environment(tmp_path / "clean")
    install = (HERE, "-m", "pip", "--python", programs / "python", "install", "--quiet", "--find-links", wheels)
    _output(*install, "busd[server]", cwd=tmp_path)
    assert _output(programs / "bus", "--version", cwd=tmp_path) == f"bus {__version__} (compiled)\n"


def test_the_sdk_alone_says_what_the_command_needs(wheel: Path, tmp_path: Path) -> None:
    programs = _make_environment(tmp_path / "clean")
    _output(TOOLS / "uv", "pip", "install", "--quiet", "--python", programs / "python", wheel, cwd=tmp_path)
    assert _output(programs / "python", "-c", "from bus import Client", cwd=tmp_path) == ""
    run = subprocess.run([programs / "bus", "--version"], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (1, 'bus: click is not installed: pip install "busd[server]"\n')


def test_running_without_installing(wheel: Path, tmp_path: Path) -> None:
    source = f"{wheel}[server]"
    with_pipx = (TOOLS / "pipx", "run", "--spec", source, "bus", "--version")
    homes = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_DEFAULT_PYTHON": HERE}
    assert _output(*with_pipx, cwd=tmp_path, **homes) == f"bus {__version__} (pure)\n"
    with_uvx = (TOOLS / "uvx", "--quiet", "--python", HERE, "--from", source, "bus", "--version")
    assert _output(*with_uvx, cwd=tmp_path) == f"bus {__version__} (pure)\n"
