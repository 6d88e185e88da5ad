"""Installing is tested only when asked for by name (``pytest tests/install``): it takes minutes, root and a network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.install.machine import layer, make_debian
from tests.support import clean_environment


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The single file, as ``make binary`` makes it."""
    return _make("binary", tmp_path_factory.mktemp("binary")) / "bus"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120, env=clean_environment())
    return next(place.iterdir())


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled wheel and the pure one, as ``make wheels`` makes them."""
    return _make("wheels", tmp_path_factory.mktemp("wheels"))


def _make(target: str, place: Path) -> Path:
    """Have *target* made in *place*, of modules that were compiled before unless their sources have changed."""
    subprocess.run(["make", "--no-print-directory", target, f"DIST={place}"], cwd=ROOT, check=True, timeout=800)
    return place


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian without Python, which nobody may change."""
    place = tmp_path_factory.mktemp("debian")
    make_debian(place)
    return place


@pytest.fixture
def machine(debian: Path, tmp_path: Path) -> Iterator[Path]:
    """A Debian without Python of the test's own."""
    with layer(debian, tmp_path / "machine") as root:
        yield root
