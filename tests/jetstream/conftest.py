"""Bus servers in front of nats-servers, one or a cluster of three."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.nats.servers import Servers
from tests.support import ServerProcess

StartBus = Callable[..., ServerProcess]
_numbers = count(1)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One node, shared by many tests."""
    with Servers(tmp_path_factory.mktemp("node"), limits="limits { batch { max_msgs: 16384 } }") as servers:
        yield servers


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Servers]:
    """A cluster of three, of the test's own."""
    with Servers(tmp_path / "nats", count=3) as servers:
        yield servers


@pytest.fixture
def start_bus(tmp_path: Path) -> Iterator[StartBus]:
    """A function that starts Bus servers in front of some nats-servers; all of a test serve the same events."""
    started: list[ServerProcess] = []
    prefix = f"test{next(_numbers)}"

    def start(servers: Servers, *flags: str) -> ServerProcess:
        engine = ["--engine", f"{servers.url}/{prefix}", *flags]
        started.append(ServerProcess(tmp_path / "none", flags=engine))
        return started[-1]

    yield start
    for server in started:
        server.close()
