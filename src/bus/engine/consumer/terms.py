"""The terms of a consumer: what it reads, how, and how long it is kept, agreed with whoever joins it.

    made    with what its first connection gives, and the defaults
    join    what a connection leaves out is the consumer's own;
            what it gives must be the consumer's own too, or the connection is refused
    change  by whoever manages the consumer, for all

A durable consumer is shared, so nobody changes it for the others by the way: whoever has a look and gives
nothing leaves it as it is. A redelivery that nobody has given yet is set by the first who does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from msgspec import UNSET

from bus.engine.administration import ConsumerChange
from bus.engine.base import Subscribe
from bus.errors import ConsumerMismatchError
from bus.subject import Filter
from bus.units import format_duration

REDELIVERY = "redelivery"
COUNT = "redelivery_count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a consumer reads and how.

    ``redelivery`` is how long each attempt may take, in seconds, the last one repeating; ``redelivery_count``
    the attempts in all, 0 for no limit; ``given`` names those of the two that somebody gave. While it is ``paused``
    nothing is handed out. ``expires`` is how many seconds it is kept without a connection, 0 for ever, None for what
    the server's setting says.
    """

    filter: Filter
    redelivery: tuple[float, ...] = (5.0,)
    redelivery_count: int = 3
    by_key: bool = False
    given: frozenset[str] = frozenset()
    paused: bool = False
    expires: float | None = None

    @classmethod
    def of(cls, wanted: Subscribe) -> Terms:
        """The terms of a consumer that *wanted* makes."""
        return cls(filter=wanted.filter, by_key=wanted.by_key)._taking(wanted)

    def agreed(self, wanted: Subscribe) -> Terms:
        """The terms once *wanted* has joined. Raises `ConsumerMismatchError` naming each term that differs."""
        if differing := list(self._differing(wanted)):
            raise ConsumerMismatchError(
                f"consumer {wanted.consumer} has {' and '.join(differing)}: give the same, leave it out, choose "
                f"another name, or change the consumer (bus consumers edit {wanted.consumer})"
            )
        return self._taking(wanted)

    def changed(self, change: ConsumerChange) -> Terms:
        """The terms once *change* is made."""
        return replace(
            self._taking(change),
            filter=self.filter if change.filter is None else change.filter,
            by_key=self.by_key if change.by_key is None else change.by_key,
            paused=self.paused if change.paused is None else change.paused,
            expires=self.expires if change.expires is UNSET else change.expires,
        )

    def reads_as(self, other: Terms) -> bool:
        """Whether the same events come in the same order."""
        return self.filter == other.filter and self.by_key == other.by_key

    def _taking(self, wanted: Subscribe | ConsumerChange) -> Terms:
        found = self
        if wanted.redelivery is not None:
            found = replace(found, redelivery=wanted.redelivery, given=found.given | {REDELIVERY})
        if wanted.redelivery_count is not None:
            found = replace(found, redelivery_count=wanted.redelivery_count, given=found.given | {COUNT})
        return found

    def _differing(self, wanted: Subscribe) -> Iterator[str]:
        """Each term that is given and isn't the consumer's: what it is, and what was given."""
        if wanted.filter != self.filter:
            yield f"subject={self.filter}, not {wanted.filter}"
        if wanted.by_key and not self.by_key:
            yield "no order, not order=key"
        if REDELIVERY in self.given and wanted.redelivery not in (None, self.redelivery):
            yield f"redelivery={_written(self.redelivery)}, not {_written(wanted.redelivery)}"
        if COUNT in self.given and wanted.redelivery_count not in (None, self.redelivery_count):
            yield f"redelivery_count={self.redelivery_count}, not {wanted.redelivery_count}"

    @property
    def written(self) -> str:
        """``redelivery`` as it is written in a subscription."""
        return _written(self.redelivery)


def _written(redelivery: tuple[float, ...] | None) -> str:
    return ",".join(map(format_duration, redelivery or ()))
