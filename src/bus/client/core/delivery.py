"""An event in a subscriber's hands, and what can be said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from bus.client.core.draft import encode_payload
from bus.client.core.get_options import Duration, in_seconds
from bus.client.core.request import Acknowledgement, Action
from bus.errors import InvalidEventError
from bus.event import Event


@dataclass(slots=True, eq=False)
class StreamConnection:
    """One connection of a stream, as the events know it that came by it.

    ``live`` until the connection is gone; ``stream`` is the shell's.
    """

    stream: Any
    consumer_id: str
    live: bool = True


class Delivered(Event, dict=True):
    """An event that knows by which connection it came.

    The connection lives beside the fields of the struct, so that an event is encoded, compared and shown as
    what it is on the wire.
    """

    @property
    def connection(self) -> StreamConnection:
        found: StreamConnection = self.__dict__["connection"]
        return found

    @property
    def consumer_id(self) -> str:
        """The consumer this event was delivered to."""
        return self.connection.consumer_id

    def _acknowledged(self) -> Acknowledgement:
        """Done. A publisher that waits on the response subject is answered with null, once."""
        asked = bool(self.response_subject) and "replied" not in self.__dict__
        return self._said("ack", reply=b"null" if asked else b"")

    def _replied(self, payload: Any) -> Acknowledgement:
        if not self.response_subject:
            raise InvalidEventError(f"event {self.id} asks for no reply: acknowledge it with ack()")
        said = self._said("ack", reply=encode_payload(payload))
        self.__dict__["replied"] = True
        return said

    def _said(
        self, action: Action, *, delay: Duration | None = None, reason: str = "", reply: bytes = b""
    ) -> Acknowledgement:
        seconds = None if delay is None else in_seconds(delay)
        return Acknowledgement(self.consumer_id, [self.id], action, seconds, reason, reply)


D = TypeVar("D", bound=Delivered)
"""The kind of delivery that a shell hands out."""


def settles(said: Acknowledgement) -> bool:
    """Whether the event will not be delivered again once this is accepted."""
    return said.action in ("ack", "reject")
