"""Choosing and opening the engine that a server's settings ask for."""

from __future__ import annotations

from asyncio import AbstractEventLoop

from bus.config import EngineSettings
from bus.engine.base import Engine
from bus.engine.embedded.engine import EmbeddedEngine


def open_engine(settings: EngineSettings, loop: AbstractEventLoop) -> Engine:
    """An engine that is ready to store and deliver. Raises a `BusError` if it can't be, and leaves nothing open."""
    return EmbeddedEngine.open(settings, loop)
