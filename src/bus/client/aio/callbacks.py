"""Callbacks that keep nothing alive, and no complaint behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod


def looked_at(over: asyncio.Future[None]) -> None:
    """Keep asyncio from complaining that nobody asked how a stream ended that nobody holds any more."""
    over.exception()


def weakly(method: Callable[[Any], None]) -> Callable[[Any], None]:
    """*method* for as long as its object lives."""
    found = WeakMethod(method)

    def call(argument: Any) -> None:
        if (alive := found()) is not None:
            alive(argument)

    return call
