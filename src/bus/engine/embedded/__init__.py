"""The engine that stores and delivers by itself: a log for each namespace, in one directory."""

from bus.engine.embedded.engine import EmbeddedEngine

__all__ = ["EmbeddedEngine"]
