"""Pulls that nobody waits for any more, which a consumer of JetStream has to forget before something goes back to it.

It notices that one was abandoned when it looks for somebody to deliver to. If what it would have delivered then came
back from somebody, that waits for the end of another lease. Being asked how many pulls wait makes it look before that.
"""

from __future__ import annotations

import asyncio

from bus.nats import JetStream, NatsError

LOOKS = 4
PAUSE = 0.02
"""How often it is asked, as long as there are pulls, which may be other servers'; and the seconds between: the nodes
of a cluster tell each other who listens."""


async def forget_abandoned(jetstream: JetStream, stream: str, consumer: str) -> None:
    """Have *consumer* forget pulls whose inbox was closed."""
    for look in range(LOOKS):
        try:
            if not (await jetstream.consumer(stream, consumer)).num_waiting:
                return
        except NatsError:  # without a leader there are no pulls either
            return
        if look < LOOKS - 1:
            await asyncio.sleep(PAUSE)
