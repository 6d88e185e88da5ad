"""Where subscriptions and consumers begin: what it takes a look at the stream to find out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bus.engine.base import Subscribe
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.times import find_time
from bus.engine.reading.matching_events import settle_start
from bus.engine.reading.round_robin import RoundRobin
from bus.engine.start import StartKind, StartPoint
from bus.nats import JetStream


@dataclass(frozen=True, slots=True)
class StreamStarting:
    """Looks at streams, in turn with others at *turns*."""

    jetstream: JetStream
    turns: RoundRobin

    async def settle(self, namespace: JetNamespace, wanted: Subscribe) -> Subscribe:
        """*wanted* with what it takes a look at the stream to find out; all that is stored by now is known then."""
        await namespace.settled()
        if wanted.resume_after is not None:
            await namespace.bring_id(wanted.resume_after)
            return wanted
        if wanted.start.kind is StartKind.AFTER:
            await namespace.bring_id(wanted.start.event_id)
        if wanted.start.kind is StartKind.TIME:
            index = await find_time(self.jetstream, namespace, wanted.start.time)
            return replace(wanted, start=StartPoint(StartKind.INDEX, index=index))
        return await self.turns.run(settle_start(namespace, wanted))
