"""What a table of subjects goes through, in one thread, so that it can be killed at each system call.

    subject_workload.py DIRECTORY

Events are published, deleted and let go by retention while the table is written behind. It is opened twice, so that it
takes up what it has left.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bus.config import Settings
from bus.engine.embedded.engine import EmbeddedEngine
from bus.engine.embedded.subjects import table as subject_table
from bus.event import Draft
from bus.subject import Filter
from tests.faults.consumer_workload import SameThread, Stored

EVERYTHING = Filter.parse(["app.>"])
PAYLOAD = msgspec.Raw(b'"%b"' % (b"x" * 20_000))


def open_engine(directory: Path, loop: asyncio.AbstractEventLoop) -> EmbeddedEngine:
    flags = {
        "path": str(directory),
        "namespaces": "app",
        "fsync": "never",
        "segment_size": "64KiB",
        "retention": "app=5",
    }
    return EmbeddedEngine.open(Settings.read(flags, {}).engine, loop)


async def at_once(call: Callable[..., object], *args: Any, **options: Any) -> object:
    """In the place of ``asyncio.to_thread``, so that all system calls are of one thread."""
    return call(*args, **options)


async def publish(engine: EmbeddedEngine, *names: str) -> None:
    engine.publish([Draft(subject=f"app.{name}", payload=PAYLOAD) for name in names], Stored(), now=time.time_ns())
    await asyncio.sleep(0)


async def run(directory: Path) -> None:
    for names_of_batches in (("ab", "ac", "bb"), ("d",)):
        engine = open_engine(directory, asyncio.get_running_loop())
        for names in names_of_batches:
            await publish(engine, *names)
            await engine.events.subjects(EVERYTHING, after="", limit=1)
        await engine.events.delete_matching(Filter.parse(["app.c"]))
        await publish(engine, "e")
        engine.retain(now=time.time_ns())
        await engine.events.subjects(EVERYTHING, after="", limit=1)
        engine.close()


if __name__ == "__main__":
    vars(subject_table).update(ThreadPoolExecutor=SameThread)
    vars(asyncio).update(to_thread=at_once)
    asyncio.run(run(Path(sys.argv[1])))
