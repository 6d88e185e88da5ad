"""Fixtures of the maintenance commands: directories that the real server filled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.stored import SECRET, Stored, fill
from tests.support import ServerProcess

SMALL_SEGMENTS = ["--segment-size", "16KiB"]


@pytest.fixture(scope="session", params=["plain", "encrypted"])
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """A directory with events of every kind in several segments; it is not to be changed."""
    path = tmp_path_factory.mktemp(request.param) / "data"
    env = {"BUS_SECRET_KEY": SECRET} if request.param == "encrypted" else {}
    server = ServerProcess(path, flags=SMALL_SEGMENTS, env=env)
    try:
        fill(server)
        assert server.stop() == 0
    finally:
        server.close()
    return Stored(path, env)


@pytest.fixture
def plain(tmp_path: Path) -> Stored:
    """Where a plain directory may be made."""
    return Stored(tmp_path / "plain")
