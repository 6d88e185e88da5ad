"""Events that aren't pending any more: what an acknowledgement of one is worth."""

from __future__ import annotations

from bus.engine.namespace import Namespace
from bus.engine.reading.start_position import find
from bus.errors import BusError, UnknownEventError

REMEMBERED_GIVEN_UP = 1024


class PastEvents:
    """What a consumer that reads *namespace* from index *began* on is through with."""

    def __init__(self, namespace: Namespace, began: int) -> None:
        self._namespace = namespace
        self._began = began
        self._given_up: dict[str, None] = {}

    def give_up(self, event_id: str) -> None:
        """This event was given up; the last of those are remembered."""
        self._given_up[event_id] = None
        if len(self._given_up) > REMEMBERED_GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]

    def move(self, index: int) -> None:
        """The consumer goes on from *index*: what was given up may come again."""
        self._began = min(self._began, index)
        self._given_up.clear()

    def refusal(self, event_id: str, error: UnknownEventError, *, cursor: int) -> list[BusError]:
        """Why an event that isn't pending can't be settled; nothing if it is: saying it again changes nothing.

        *error* says that it isn't pending, *cursor* up to where the consumer has read.
        """
        if event_id in self._given_up:
            return [UnknownEventError(f"event {event_id} was given up: it can't be acknowledged any more")]
        index = find(self._namespace, event_id)
        return [] if index is not None and self._began <= index < cursor else [error]

    def __repr__(self) -> str:
        return f"<PastEvents from {self._began} on, {len(self._given_up)} given up>"
