"""What durable consumers need of a log, and what becomes of it when that is deleted all the same."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

from bus.engine.embedded.consumers.durable_consumer import DurableConsumer
from bus.engine.embedded.consumers.durable_consumers import DurableConsumers
from bus.engine.embedded.log_namespace import LogNamespace

log = logging.getLogger("bus.engine")


class ConsumerNeeds:
    """The needs of *consumers*, for those who let go of old events."""

    def __init__(self, consumers: DurableConsumers) -> None:
        self._consumers = consumers

    def oldest_needed(self, namespace: str) -> int | None:
        """The oldest index that some consumer of *namespace* has yet to settle; None if it has no consumer."""
        needed = [durable.oldest_needed() for durable in self._of(namespace)]
        return min(needed, default=None)

    def pending_before(self, namespace: str, index: int) -> Iterator[int]:
        """The indexes before *index* that are pending for some consumer of *namespace*."""
        pending = (found for durable in self._of(namespace) for found in durable.consumer.pending)
        return (found.index for found in pending if found.index < index)

    def lose(self, namespace: LogNamespace, subjects: Mapping[int, str]) -> None:
        """Tell consumers, and the server's log, of what the log of *namespace* doesn't hold for them any more."""
        first = namespace.first
        for durable in self._of(namespace.name):
            oldest = durable.oldest_needed()
            if oldest < first:
                lost = durable.consumer.lose(first)
                self._consumers.letters.lose(durable, lost, subjects)
                log.warning(
                    "namespace %s: events %d to %d are deleted by retention before consumer %s settled them; %d "
                    "pending ones are among its dead letters, without payload",
                    namespace.name, oldest, first - 1, durable.name, len(lost),
                )  # fmt: skip

    def _of(self, namespace: str) -> list[DurableConsumer]:
        return [found for found in self._consumers if found.namespace.name == namespace]

    def __repr__(self) -> str:
        return f"<ConsumerNeeds of {self._consumers!r}>"
