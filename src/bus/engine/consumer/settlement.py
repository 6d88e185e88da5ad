"""What comes of a word about several deliveries: some are settled, others can't be."""

from __future__ import annotations

from bus.engine.base import Acknowledge, Action
from bus.engine.consumer.delivery import GivenUp, Window
from bus.engine.consumer.pending import Pending
from bus.errors import BusError


class Settlement:
    """Indexes of the events that were acknowledged, why others couldn't be settled, and what is given up."""

    __slots__ = ("acknowledged", "given_up", "refused")

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.refused: list[BusError] = []
        self.given_up: list[GivenUp] = []

    def carry_out(self, ack: Acknowledge, event_id: str, window: Window, pending: Pending, *, now: float) -> None:
        """Do with the event *event_id* of *pending* what *ack* of the connection with *window* says.

        Raises `UnknownEventError` or `NotOwnerError`.
        """
        match ack.action:
            case Action.ACK:
                self.acknowledged.append(pending.ack(event_id, window).index)
            case Action.NACK:
                gone = pending.nack(event_id, window, now=now, delay=ack.delay or 0, reason=ack.reason)
                self.given_up.extend([gone] if gone else [])
            case Action.EXTEND:
                pending.extend(event_id, window, now=now, delay=ack.delay)
            case Action.REJECT:
                self.given_up.append(pending.reject(event_id, window, reason=ack.reason))

    def __repr__(self) -> str:
        return f"<Settlement of {len(self.acknowledged)} acknowledged, {len(self.refused)} refused>"
