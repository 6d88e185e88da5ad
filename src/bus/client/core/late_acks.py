"""What was said of events after their connection had broken.

The server forgets a connection, and hands its events out again. So what could not be said is kept, and said when
the event comes back, in place of delivering it a second time.

    ack, reject, reply    whenever it comes back: it is done
    nack                  if it comes back as the same attempt; a later one is somebody else's failure
    extend                never: the new delivery has time of its own
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from bus.client.core.delivery import Delivered
from bus.client.core.request import Acknowledgement, fitting_ids
from bus.errors import BusError

log = logging.getLogger("bus.client")

MOST_LATE = 10_000


class LateAcks:
    """What is to be said of events that come back; the oldest is forgotten when there is too much.

    An id that its publisher chose may be that of several events, one of which is on its way at a time.
    """

    def __init__(self) -> None:
        self._said: dict[tuple[int, str], tuple[int, Acknowledgement]] = {}
        self._back: dict[str, int] = {}
        self._due: list[Acknowledgement] = []

    def keep(self, event: Delivered, said: Acknowledgement) -> None:
        """Say *said* when *event* comes back."""
        place = event.index, event.id
        self._said.pop(place, None)
        self._said[place] = event.attempts, said
        if len(self._said) > MOST_LATE:
            del self._said[next(iter(self._said))]

    @property
    def is_empty(self) -> bool:
        return not self._said

    def settles(self, event: Delivered) -> bool:
        """Whether *event*, which was delivered just now, needs no more than what is kept to be said of it."""
        place = event.index, event.id
        if place not in self._said:
            return False
        attempts, said = self._said[place]
        if said.action == "nack" and event.attempts > attempts:
            del self._said[place]
            return False
        self._back[event.id] = event.index
        self._due.append(replace(said, consumer_id=event.consumer_id))
        return True

    def acknowledge(self, event: Delivered) -> None:
        """*event* was settled before and comes again: acknowledge it."""
        self._due.append(Acknowledgement(event.consumer_id, [event.id]))

    def due(self) -> list[Acknowledgement]:
        """What is to be said now, the plain acknowledgements together."""
        due, self._due = self._due, []
        acks = [said for said in due if said.action == "ack" and not said.reply]
        return [*_together(acks), *(said for said in due if said.action != "ack" or said.reply)]

    def done(self, said: Acknowledgement) -> None:
        """The server has taken it."""
        for event_id in said.event_ids:
            if (index := self._back.pop(event_id, None)) is not None:
                self._said.pop((index, event_id), None)

    def failed(self, said: Acknowledgement, error: BusError) -> None:
        """The server has not: it is tried again when the events come again."""
        log.warning("%s of event %s could not be said: %s", said.action, ",".join(said.event_ids), error)

    def disconnect(self) -> None:
        """What came back is gone again."""
        self._back.clear()
        self._due.clear()

    def __repr__(self) -> str:
        return f"<LateAcks {len(self._said)} to come back, {len(self._due)} are back>"


def _together(acks: list[Acknowledgement]) -> Iterable[Acknowledgement]:
    """All of them are of one connection, the one they came by."""
    ids = [event_id for said in acks for event_id in said.event_ids]
    return [replace(acks[0], event_ids=part) for part in fitting_ids(ids)]
