"""The live tail: one consumer for each Bus server and namespace, whoever subscribes.

stream ─▶ pushed, in order ─▶ gathered in a turn of the loop ─▶ a batch ─▶ Live
                │
                └─ a hole: the damaged copy of one replica skips an event. Another is asked.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence

from bus.engine.jetstream.message import Stored
from bus.engine.jetstream.naming import Naming
from bus.nats import Delivery, JetStream, NatsError

GATHERED = 1024
"""Events that become a batch at once."""


class Tail:
    """What comes in a stream from the index *start* on; *came* gets it, some events at a time."""

    def __init__(
        self,
        jetstream: JetStream,
        naming: Naming,
        namespace: str,
        *,
        start: int,
        came: Callable[[Sequence[Stored]], None],
        loop: AbstractEventLoop,
    ) -> None:
        self._naming = naming
        self._came = came
        self._loop = loop
        self._gathered: list[Stored] = []
        self._ordered = jetstream.follow(naming.stream(namespace), self._heard, start=start)

    def _heard(self, heard: Delivery | NatsError) -> None:
        if isinstance(heard, NatsError):
            return  # it goes on by itself
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        subject = self._naming.original(heard.subject)
        self._gathered.append(Stored(subject, heard.seq, heard.headers, heard.payload))
        if len(self._gathered) >= GATHERED:
            self._hand_over()

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        if gathered:
            self._came(gathered)

    async def close(self) -> None:
        """Follow no more."""
        await self._ordered.close()
