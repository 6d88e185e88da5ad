"""The loop of the tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.support import ManualLoop


@pytest.fixture
def loop() -> Iterator[ManualLoop]:
    """A loop that goes round when it is told to."""
    loop = ManualLoop()
    yield loop
    loop.close()
