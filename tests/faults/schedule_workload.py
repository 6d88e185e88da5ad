"""What scheduled events go through, so that it can be killed at each of its system calls.

    schedule_workload.py DIRECTORY

It says what is promised from then on: ``kept N`` (event N is published once) or ``cancelled N`` (never). When it ends,
all that was kept is published.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import msgspec

from bus.config import Settings
from bus.engine.embedded.engine import EmbeddedEngine
from bus.event import Draft

EVENTS = 3
LATER_NS = 10**12


def say(what: str) -> None:
    os.write(1, f"{what}\n".encode())


def draft(number: int) -> Draft:
    """The event *number*."""
    return Draft(subject=f"app.n{number}", payload=msgspec.Raw(b"%d" % number))


async def run(directory: Path) -> None:
    """Schedule events that are due at once, cancel one that isn't, and stop when all are published."""
    loop, now = asyncio.get_running_loop(), time.time_ns()
    engine = EmbeddedEngine.open(Settings.read({"namespaces": "app", "path": str(directory)}, {}).engine, loop)
    try:
        kept = await engine.schedules.add(draft(0), due=now + LATER_NS, now=now)
        await engine.schedules.cancel(kept.schedule_id)
        say("cancelled 0")
        for number in range(1, EVENTS + 1):
            await engine.schedules.add(draft(number), due=now, now=now)
            say(f"kept {number}")
        await settle(engine)
    finally:
        engine.close()


async def settle(engine: EmbeddedEngine) -> None:
    """Wait until nothing is scheduled any more, then stop."""
    while (await engine.schedules.page(lambda subject: True, limit=1)).schedules:
        pass
    idle = asyncio.Event()
    engine.stop(idle.set)
    await idle.wait()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1])))
