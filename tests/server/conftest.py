"""What the tests of the server ask of its parts."""

from __future__ import annotations

import asyncio

import pytest

from bus.config import Settings
from bus.engine.open import open_engine
from bus.server.api.about import ServerFacts
from bus.server.api.dispatcher import Dispatcher
from bus.server.api.route import Route


@pytest.fixture(scope="session")
def routes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Route]:
    """The routes of a server by their methods and paths."""
    flags = {"namespaces": "app", "path": str(tmp_path_factory.mktemp("routes"))}

    async def read() -> dict[tuple[str, str], Route]:
        settings, loop = Settings.read(flags, {}), asyncio.get_running_loop()
        async with open_engine(settings.engine, loop) as engine:
            return {
                (found.method.decode(), found.path): found
                for found in Dispatcher(engine, settings.server, loop, session_key=bytes(32), facts=ServerFacts()).table
            }

    return asyncio.run(read())
