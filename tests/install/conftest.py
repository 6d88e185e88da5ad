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
    """The single file, built as ``make binary`` does."""
    place = tmp_path_factory.mktemp("binary")
    command = ["make", "--no-print-directory", "binary", f"DIST={place / 'dist'}", f"BUILD={place / 'build'}"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=800)
    return place / "dist" / "bus"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120, env=clean_environment())
    return next(place.iterdir())


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled wheel and the pure one, built as ``make wheels`` does."""
    place = tmp_path_factory.mktemp("wheels")
    command = ["make", "--no-print-directory", "wheels", f"DIST={place / 'dist'}", f"BUILD={place / 'build'}"]
    subprocess.run(command, cwd=ROOT, check=True, timeout=800)
    return place / "dist"


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
