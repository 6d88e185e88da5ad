"""A worker in a process of its own, to be killed at any moment: it notes each event in a journal, then says it is done.

    worker.py KIND URL JOURNAL

    shared     one of several connections of a durable consumer, many events at once
    keyed      the same, in order of the key
    strict     a durable consumer's only connection, one event at a time
    plain      nothing to acknowledge: goes on after the last event in its journal
    careless   like shared, but says that an event is done long before it notes it: the control

A journal has a line for each event: index, id, key. What is written there counts as done, as a row in a worker's own
database would.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bus import AsyncClient, AsyncDelivery
from bus.errors import BusError

MANUAL: dict[str, Any] = {"start": "oldest", "ack": "manual", "redelivery": "1m", "redelivery_count": 0}
KINDS: dict[str, dict[str, Any]] = {
    "shared": {**MANUAL, "consumer": "shared", "prefetch": 64},
    "keyed": {**MANUAL, "consumer": "keyed", "prefetch": 64, "order": "key"},
    "strict": {**MANUAL, "consumer": "strict"},
    "careless": {**MANUAL, "consumer": "careless", "prefetch": 64},
}
SUBJECTS = {"strict": "app.history.s0"}
CARELESS = 400
"""Events that a careless worker holds before it notes them."""


class Journal:
    """Lines that are there once written, whatever becomes of this process; many may write to one."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def note(self, *events: AsyncDelivery) -> None:
        lines = [f"{event.index} {event.id} {event.key or '-'}\n" for event in events]
        os.write(self._descriptor, "".join(lines).encode())


def last_id(path: Path) -> str:
    """The id in the last line of a journal, empty if it has none."""
    lines = path.read_text().splitlines() if path.exists() else []
    return lines[-1].split()[1] if lines else ""


async def acknowledge(event: AsyncDelivery) -> None:
    """A failure means that the event comes again."""
    with suppress(BusError):
        await event.ack()


async def run(kind: str, url: str, path: Path) -> None:
    options = KINDS[kind] if kind in KINDS else {"start": last_id(path) or "oldest"}
    journal = Journal(path)
    async with AsyncClient(url, timeout=60) as client:
        events = client.get(SUBJECTS.get(kind, "app.history.*"), **options)
        await (be_careless if kind == "careless" else work)(events, journal, acknowledged=kind != "plain")


async def work(events: AsyncIterator[AsyncDelivery], journal: Journal, *, acknowledged: bool) -> None:
    under_way: set[asyncio.Task[None]] = set()
    async for event in events:
        journal.note(event)
        if acknowledged:
            task = asyncio.create_task(acknowledge(event))
            under_way.add(task)
            task.add_done_callback(under_way.discard)


async def be_careless(events: AsyncIterator[AsyncDelivery], journal: Journal, *, acknowledged: bool) -> None:
    assert acknowledged
    held: list[AsyncDelivery] = []
    async for event in events:
        await acknowledge(event)
        held.append(event)
        if len(held) == CARELESS:
            journal.note(*held)
            held.clear()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
