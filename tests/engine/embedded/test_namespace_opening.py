"""What a log is opened with follows from the settings."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.config import Settings
from bus.engine.embedded.namespace_opening import open_on_disk
from tests.engine.support import batch


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize(("fsync", "has_zeros"), [("always", True), ("interval", False), ("never", False)])
def test_zeros_are_preallocated_where_every_commit_is_synced(
    tmp_path: Path, loop: asyncio.AbstractEventLoop, fsync: str, has_zeros: bool
) -> None:
    settings = Settings.read({}, {"BUS_PATH": str(tmp_path), "BUS_NAMESPACES": "app", "BUS_FSYNC": fsync})
    namespace = open_on_disk("app", tmp_path / "app", settings.engine, loop)
    try:
        namespace.store.append(batch(1, ["app.a"]))
        namespace.store.sync()
        (segment,) = namespace.store.segments
        assert (segment.path.stat().st_size > segment.bytes) == has_zeros
    finally:
        namespace.close()
    assert segment.path.stat().st_size == segment.bytes
