"""Where a time is in a stream: by the times at which JetStream stored its messages, and then by those of its events.

    stored   ├──── before ────┤──────────── at the time or later ───────────┤
                              ▲ bisected, a DIRECT.GET each step
                              └──▶ read on, up to the first event that says so itself

A publisher may say when its event happened, which is before it was stored.
"""

from __future__ import annotations

from bus.engine.jetstream.namespace import JetNamespace
from bus.errors import UnavailableError
from bus.frame import read_frame, split_frames
from bus.nats import JetStream, NatsError
from bus.units import parse_time


async def find_time(jetstream: JetStream, namespace: JetNamespace, time: int) -> int:
    """The index of the first event created at *time* (ns) or later; the next index if there is none."""
    index = await _first_stored_since(jetstream, namespace, time)
    while index < namespace.next:
        while coming := namespace.bring(index):
            await coming
        batches = namespace.read(index)
        if not batches:
            break
        for batch in batches:
            for found, frame in enumerate(split_frames(batch.frames, batch.lengths), batch.first):
                if found >= index and parse_time(read_frame(frame).created_at) >= time:
                    return found
        index = batches[-1].next
    return namespace.next


async def _first_stored_since(jetstream: JetStream, namespace: JetNamespace, time: int) -> int:
    low, high = namespace.first, namespace.next
    try:
        while low < high:
            middle = (low + high) // 2
            stored = await jetstream.get(namespace.stream, middle)
            if parse_time(stored.time) < time:
                low = middle + 1
            else:
                high = middle
    except NatsError as error:
        raise UnavailableError(f"namespace {namespace.name}: looking for a time failed: {error}; try again") from None
    return low
