"""Publishing to an engine: all or none, or each event by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.config import Settings
from bus.engine.embedded.engine import EmbeddedEngine
from bus.errors import BusError, DuplicateKeyError, InvalidSubjectError, UnknownNamespaceError
from bus.event import Draft, Receipt
from bus.wire import Durability
from tests.engine.support import Publishing

NOW = 1_700_000_000_000_000_000


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def engine(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[EmbeddedEngine]:
    settings = Settings.read({}, {"BUS_PATH": str(tmp_path), "BUS_NAMESPACES": "app", "BUS_FSYNC": "never"})
    engine = EmbeddedEngine.open(settings.engine, loop)
    yield engine
    engine.close()


def publish(engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop, *drafts: Draft, atomic: bool = True) -> Publishing:
    publishing = Publishing()
    engine.publish(drafts, publishing, atomic=atomic, now=NOW)
    for _ in range(4):
        loop.call_soon(loop.stop)
        loop.run_forever()
    return publishing


def test_events_that_are_stored_each_by_itself_have_an_outcome_each_in_their_order(
    engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop
) -> None:
    first = Draft(subject="app.a", key="k")
    told = publish(engine, loop, first, Draft(subject="app..a"), Draft(subject="app.b"), first, atomic=False)
    assert [type(found) for found in told.outcomes] == [Receipt, InvalidSubjectError, Receipt, DuplicateKeyError]
    assert [found.index for found in told.outcomes if isinstance(found, Receipt)] == [1, 2]
    assert told.durability is Durability.OS


def test_events_of_an_inbox_and_of_no_namespace_have_an_outcome_each(
    engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop
) -> None:
    replies = publish(engine, loop, Draft(subject="_bus_.a"), Draft(subject="_bus_.b"), atomic=False)
    assert [type(found) for found in replies.outcomes] == [Receipt, Receipt]
    assert replies.durability is Durability.MEMORY
    lost = publish(engine, loop, Draft(subject="other.a"), Draft(subject="other..a"), atomic=False)
    assert [type(found) for found in lost.outcomes] == [UnknownNamespaceError, InvalidSubjectError]


def test_a_batch_is_stored_as_a_whole_or_not_at_all(engine: EmbeddedEngine, loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(BusError):
        publish(engine, loop, Draft(subject="app.a"), Draft(subject="app..a"))
    told = publish(engine, loop, Draft(subject="app.a"), Draft(subject="app.b"))
    assert [found.index for found in told.outcomes if isinstance(found, Receipt)] == [1, 2]
