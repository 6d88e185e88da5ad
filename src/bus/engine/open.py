"""Choosing and opening the engine that a server's settings ask for."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, closing
from pathlib import Path

from bus.config import EMBEDDED, EngineSettings
from bus.engine.base import Engine
from bus.engine.embedded.data_directory import directory_for
from bus.engine.embedded.engine import EmbeddedEngine


def engine_name(settings: EngineSettings) -> str:
    """What the engine is called."""
    return EMBEDDED if settings.engine == EMBEDDED else "jetstream"


def data_directory(settings: EngineSettings) -> Path | None:
    """Where an engine keeps what outlives it, None if it keeps nothing. Raises `ConfigError` for no namespaces."""
    if settings.engine != EMBEDDED:
        return None
    found = directory_for(settings)
    return found.path if found else None


@asynccontextmanager
async def open_engine(settings: EngineSettings, loop: AbstractEventLoop) -> AsyncIterator[Engine]:
    """An engine that is ready to store and deliver, closed in the end, when nothing is asked of it any more.

    Raises a `BusError` if it can't be opened, and leaves nothing open.
    """
    if settings.engine == EMBEDDED:
        with closing(EmbeddedEngine.open(settings, loop)) as embedded:
            yield embedded
        return
    from bus.engine.jetstream.opening import open_jetstream  # loaded by who uses it

    async with aclosing(await open_jetstream(settings, loop)) as jetstream:
        yield jetstream
