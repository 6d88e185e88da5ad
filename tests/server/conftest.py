"""One server for all tests of a process that leave no trace in each other, and subjects of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count

import pytest

from tests.authority import Authority
from tests.support import ServerProcess

_numbers = count(1)


@pytest.fixture(scope="session")
def bus(
    tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str], tls: Authority | None
) -> Iterator[ServerProcess]:
    """A server shared by many tests: publish to a subject of your own, and don't count on indexes."""
    server = ServerProcess(
        tmp_path_factory.mktemp("bus") / "data", env={"BUS_HEARTBEAT": "1s"}, bus=bus_command, authority=tls
    )
    yield server
    server.close()


@pytest.fixture
def subject() -> str:
    """A subject nobody else uses."""
    return f"app.test{next(_numbers)}.events"
