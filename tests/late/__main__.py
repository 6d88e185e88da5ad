"""``python -m tests.late server …``: ``bus`` with an engine that answers everything later."""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import bus.__main__
import bus.server.run
from bus.config import EngineSettings
from bus.engine.base import Engine
from bus.engine.open import open_engine
from tests.late.engine import LateEngine


@asynccontextmanager
async def open_late_engine(settings: EngineSettings, loop: AbstractEventLoop) -> AsyncIterator[Engine]:
    async with open_engine(settings, loop) as inside:
        yield LateEngine(inside, loop)


def main() -> int:
    """Run the command line with the late engine and return its exit status."""
    vars(bus.server.run)["open_engine"] = open_late_engine
    return bus.__main__.main()


if __name__ == "__main__":
    sys.exit(main())
