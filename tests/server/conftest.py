"""One server for all tests of a process that leave no trace in each other, and subjects of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count

import pytest

from bus.config import Settings
from bus.engine.open import open_engine
from bus.server.api.dispatcher import Dispatcher
from bus.server.api.route import Route
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


@pytest.fixture(scope="session")
def routes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Route]:
    """The routes of a server by their methods and paths."""
    flags = {"namespaces": "app", "path": str(tmp_path_factory.mktemp("routes"))}

    async def read() -> dict[tuple[str, str], Route]:
        settings, loop = Settings.read(flags, {}), asyncio.get_running_loop()
        engine = open_engine(settings.engine, loop)
        try:
            return {
                (found.method.decode(), found.path): found for found in Dispatcher(engine, settings.server, loop).table
            }
        finally:
            engine.close()

    return asyncio.run(read())
