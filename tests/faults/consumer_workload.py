"""What a durable consumer goes through under its manager, in one thread, so that it can be killed at each system call.

    consumer_workload.py DIRECTORY

It is paused, resumed, moved and changed, while checkpoints are written behind. After each step it says what was
answered: ``place N`` (it goes on with event N), ``paused yes`` or ``paused no``, ``patterns P``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from bus.config import Settings
from bus.engine.administration import ConsumerChange, Destination, Step
from bus.engine.embedded import checkpoints
from bus.engine.embedded.engine import EmbeddedEngine
from bus.engine.start import StartKind, StartPoint
from bus.event import Draft
from bus.subject import Filter

EVENTS = 20
FLUSH_SECONDS = 0.01
NAME = "billing"
MOVES: tuple[Destination, ...] = (StartPoint(StartKind.NEWEST), Step(-5), Step(2), StartPoint(StartKind.OLDEST))


def say(what: str) -> None:
    os.write(1, f"{what}\n".encode())


class Stored:
    """Who publishes, and asks for no answer."""

    def stored(self, *outcome: object) -> None: ...

    def failed(self, error: Exception) -> None:
        raise error


class SameThread(Executor):
    """Does at once what it is given, so that all system calls are of one thread."""

    def __init__(self, *args: object, **options: object) -> None: ...

    def submit(self, call: Any, /, *args: Any, **options: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(call(*args, **options))
        return done


def open_engine(directory: Path, loop: asyncio.AbstractEventLoop) -> EmbeddedEngine:
    settings = Settings.read({"path": str(directory), "namespaces": "app", "fsync": "never"}, {})
    return EmbeddedEngine.open(settings.engine, loop)


async def run(directory: Path) -> None:
    engine = open_engine(directory, asyncio.get_running_loop())
    engine.publish([Draft(subject="app.a")] * EVENTS, Stored(), now=time.time_ns())
    await asyncio.sleep(0)
    admin = engine.consumers
    await admin.change(NAME, ConsumerChange(filter=Filter.parse(["app.a"]), start=StartPoint(StartKind.OLDEST)))
    say("place 1")
    for to in MOVES:
        await admin.change(NAME, ConsumerChange(paused=True))
        say("paused yes")
        say(f"place {(await admin.move(NAME, to)).to_index}")
        await admin.change(NAME, ConsumerChange(paused=False))
        say("paused no")
        await asyncio.sleep(2 * FLUSH_SECONDS)  # for a checkpoint behind it
    await admin.change(NAME, ConsumerChange(filter=Filter.parse(["app.b"])))
    say("patterns app.b")
    engine.close()


if __name__ == "__main__":
    vars(checkpoints).update(ThreadPoolExecutor=SameThread, FLUSH_SECONDS=FLUSH_SECONDS)
    asyncio.run(run(Path(sys.argv[1])))
