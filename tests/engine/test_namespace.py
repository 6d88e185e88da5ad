"""Namespaces: in which order those hear of a commit who wait for it."""

from __future__ import annotations

from asyncio import AbstractEventLoop

import pytest

from bus.errors import BusError
from tests.engine.support import batch, open_namespace


class Listener:
    """Waits for a commit as a reader and as its publishers, and notes when it is told."""

    def __init__(self, *, fails: bool = False) -> None:
        self.told: list[str] = []
        self._fails = fails

    def wake(self) -> None:
        self.told.append("reader")
        if self._fails:
            raise RuntimeError("this reader is broken")

    def answer(self, failure: BusError | None = None) -> None:
        self.told.append("publishers" if failure is None else "publishers, of a failure")


@pytest.mark.parametrize("fails", [False, True])
def test_readers_are_told_first_and_publishers_even_if_that_fails(loop: AbstractEventLoop, fails: bool) -> None:
    namespace, listener = open_namespace(loop), Listener(fails=fails)
    namespace.live.wait(listener)
    namespace.take_over([batch(1, ["app.a"])], [listener])
    assert listener.told == ["reader", "publishers"]
    assert namespace.next == 2
