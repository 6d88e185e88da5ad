"""Limits: how much somebody may ask for, however much it may do."""

from __future__ import annotations

from dataclasses import dataclass

from bus.units import Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a principal may have; None is no limit.

    ``requests`` and ``bytes`` of their bodies are rates, ``streams`` are those open at once, ``consumers`` the durable
    consumers that these are of.
    """

    requests: Rate | None = None
    bytes: Rate | None = None
    streams: int | None = None
    consumers: int | None = None
