"""What namespaces go through under their manager, in one thread, so that it can be killed at each system call.

    python -m tests.faults.namespace_workload DIRECTORY

Some are made, changed and deleted, and hold an event, a durable consumer and a schedule. Before each step it says what
it asks for, and after it that it was answered: ``ask make orders``, ``done make orders``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec

from bus.config import Settings
from bus.engine.administration import ConsumerChange, NamespaceChange
from bus.engine.embedded import checkpoints, namespace_admin
from bus.engine.embedded.engine import EmbeddedEngine
from bus.engine.embedded.schedules import transactions
from bus.event import Draft
from bus.subject import Filter
from tests.faults.consumer_workload import SameThread, Stored

DAY = 86400


def say(what: str) -> None:
    os.write(1, f"{what}\n".encode())


def open_engine(directory: Path, loop: asyncio.AbstractEventLoop) -> EmbeddedEngine:
    settings = Settings.read({"path": str(directory), "namespaces": "app", "fsync": "never"}, {})
    return EmbeddedEngine.open(settings.engine, loop)


async def step(what: str, work: Awaitable[Any]) -> None:
    say(f"ask {what}")
    await work
    say(f"done {what}")


async def fill(engine: EmbeddedEngine, name: str) -> None:
    """An event, a consumer and a schedule."""
    now = time.time_ns()
    engine.publish([Draft(subject=f"{name}.a", payload=msgspec.Raw(b'"hidden"'))], Stored(), now=now)
    await asyncio.sleep(0)
    await engine.consumers.change(f"of-{name}", ConsumerChange(filter=Filter.parse([f"{name}.hidden"])))
    await engine.schedules.add(
        Draft(subject=f"{name}.a", payload=msgspec.Raw(b'"hidden"')), due=now + DAY * 10**9, now=now
    )


async def run(directory: Path) -> None:
    engine = open_engine(directory, asyncio.get_running_loop())
    admin = engine.namespace_admin
    await step("make orders", admin.change("orders", NamespaceChange()))
    await fill(engine, "orders")
    await step("change orders", admin.change("orders", NamespaceChange(max_bytes=10**6)))
    await step("make other", admin.change("other", NamespaceChange()))
    await step("delete orders", admin.delete("orders"))
    await step("make orders", admin.change("orders", NamespaceChange()))
    await step("delete other", admin.delete("other"))
    engine.close()


if __name__ == "__main__":
    for module in (checkpoints, namespace_admin, transactions):
        vars(module).update(ThreadPoolExecutor=SameThread)
    asyncio.run(run(Path(sys.argv[1])))
