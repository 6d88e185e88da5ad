"""Scheduled events in an engine: kept before that is answered, appended once whatever went before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from bus.config import Secret, Settings
from bus.engine.embedded.engine import EmbeddedEngine
from bus.engine.embedded.schedules.schedule import KeptSchedule
from bus.engine.embedded.schedules.store import ScheduleStore
from bus.event import Draft
from bus.namespace import NamespaceDescription
from bus.transfer.scheduled_events import read_schedules
from bus.transfer.sqlite_snapshot import snapshot
from tests.engine.support import Publishing

HOUR = 3600 * 10**9


def draft(payload: bytes = b"1", **fields: Any) -> Draft:
    return Draft("app.a", msgspec.Raw(payload), **fields)


def run(directory: Path, work: Callable[[EmbeddedEngine], Awaitable[object]]) -> None:
    """Do *work* with an engine on *directory*, and stop it."""

    async def live() -> None:
        settings = Settings.read({"namespaces": "app", "path": str(directory)}, {})
        engine = EmbeddedEngine.open(settings.engine, asyncio.get_running_loop())
        try:
            await work(engine)
            idle = asyncio.Event()
            engine.stop(idle.set)
            await idle.wait()
        finally:
            engine.close()

    asyncio.run(live())


async def all_published(engine: EmbeddedEngine) -> NamespaceDescription:
    """Wait until nothing is scheduled any more."""
    while (await engine.schedules.page(lambda _: True, limit=1)).schedules:
        pass
    (stats,) = await engine.namespaces()
    return stats


def test_what_is_answered_is_in_the_file(tmp_path: Path) -> None:
    async def work(engine: EmbeddedEngine) -> None:
        now = time.time_ns()
        kept = await engine.schedules.add(draft(), due=now + HOUR, now=now)
        with snapshot(tmp_path / "app" / "schedules.db") as copy:
            (found,) = next(read_schedules(copy, secret=Secret("")))
        assert found.id == kept.schedule_id

    run(tmp_path, work)


def test_what_a_crash_left_between_appending_and_settling_is_not_appended_again(tmp_path: Path) -> None:
    async def publish(engine: EmbeddedEngine) -> None:
        engine.publish([draft(id="s_1")], Publishing(), now=time.time_ns())

    async def count(engine: EmbeddedEngine) -> None:
        assert (await all_published(engine)).events == 2

    run(tmp_path, publish)
    store = ScheduleStore(tmp_path / "app" / "schedules.db", key=None, sync=True)
    with store.transaction():
        store.put(KeptSchedule("s_1", 1, msgspec.json.encode(draft())))
        store.put(KeptSchedule("s_2", 1, msgspec.json.encode(draft())))
        store.begin(now=1, next_index=1, most=2)
    store.close()
    run(tmp_path, count)


def test_an_event_of_the_same_id_that_was_there_before_is_another_one(tmp_path: Path) -> None:
    async def work(engine: EmbeddedEngine) -> None:
        publishing, now = Publishing(), time.time_ns()
        engine.publish([draft(id="mine")], publishing, now=now)
        await engine.schedules.add(draft(id="mine"), due=now, now=now)
        assert (await all_published(engine)).events == 2

    run(tmp_path, work)


def test_many_that_are_due_together_are_all_published(tmp_path: Path) -> None:
    async def work(engine: EmbeddedEngine) -> None:
        now = time.time_ns()
        await asyncio.gather(*(engine.schedules.add(draft(), due=now, now=now) for _ in range(700)))
        assert (await all_published(engine)).events == 700

    run(tmp_path, work)
