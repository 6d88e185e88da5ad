"""``python -m tests.late server …``: ``bus`` with an engine that answers everything later."""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop

import bus.server.run
from bus.__main__ import main
from bus.config import EngineSettings
from bus.engine.base import Engine
from bus.engine.open import open_engine
from tests.late.engine import LateEngine


def open_late_engine(settings: EngineSettings, loop: AbstractEventLoop) -> Engine:
    return LateEngine(open_engine(settings, loop), loop)


if __name__ == "__main__":
    vars(bus.server.run)["open_engine"] = open_late_engine
    sys.exit(main())
