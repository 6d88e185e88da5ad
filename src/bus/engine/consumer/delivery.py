"""A delivery, which is one event on its way to being acknowledged, and the window it is in flight in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import msgspec


class DeliveryState(StrEnum):
    HELD = "held"
    READY = "ready"
    IN_FLIGHT = "in flight"
    DELAYED = "delayed"
    AWAITED = "awaited"


HELD, READY, IN_FLIGHT, DELAYED, AWAITED = DeliveryState
"""Names of their own: until Python 3.12, to look one up in its class takes longer than a step between them."""


TIMED = (IN_FLIGHT, DELAYED, AWAITED)
"""The states that end by themselves."""


class Loss(IntEnum):
    """How the last attempt was lost: not at all, in flight by itself, or beside others.

    Of events that were in flight together nobody knows which one brought the worker down.
    """

    NONE = 0
    SINGLE = 1
    CROWD = 2


UNLOST, SINGLE, CROWD = Loss


@dataclass(slots=True, eq=False)
class Window:
    """What the connection *owner* has in flight, by index; *worker* names its process, if it has a name.

    ``spoke`` is when it said something last. ``alone`` tells that what it has in flight must have nothing beside it,
    ``crowded`` that it fell silent with several events in flight; ``timed_out`` is a heap of the indexes of those
    that timed out on it since.
    """

    owner: str
    worker: str = ""
    flying: dict[int, Delivery] = field(default_factory=dict, repr=False)
    alone: bool = False
    spoke: float = -1.0
    silent: bool = False
    crowded: bool = False
    timed_out: list[int] = field(default_factory=list)

    @property
    def loss(self) -> Loss:
        """What losing this connection is for the events it has in flight."""
        return CROWD if self.crowded or len(self.flying) > 1 else SINGLE

    def take(self, delivery: Delivery, *, now: float) -> None:
        """The delivery is in flight here."""
        delivery.since = now
        delivery.state = IN_FLIGHT
        delivery.owner = self
        delivery.worker = self.worker
        self.flying[delivery.index] = delivery
        self.alone = delivery.alone

    def let_go(self, delivery: Delivery) -> None:
        """The delivery isn't in flight any more."""
        del self.flying[delivery.index]
        self.alone = False

    def __repr__(self) -> str:
        return f"<Window of {self.owner}: {len(self.flying)} in flight>"


NOBODY = Window("")
"""The window of what was never delivered since the server started."""


class Delivery(msgspec.Struct, eq=False):
    """``since`` is when it was last delivered, ``due`` when its state ends by itself.

    ``owner`` and ``worker`` are the connection and the process that had it last; a word of theirs after ``listen``
    shows that they are well. ``queued`` tells that it waits for its turn among those that are ready.
    """

    index: int
    event_id: str
    state: DeliveryState = READY
    attempts: int = 0
    owner: Window = NOBODY
    worker: str = ""
    loss: Loss = UNLOST
    alone: bool = False
    key: str = ""
    since: float = 0.0
    due: float = 0.0
    listen: float = 0.0
    queued: bool = False

    def returns_to(self, window: Window) -> bool:
        """Whether its lost attempt goes on with *window*: the process that had it is back."""
        return self.worker != "" and self.worker == window.worker

    def wants_alone(self, window: Window) -> bool:
        """Whether *window* may have it only with nothing else in flight."""
        return self.alone or (self.loss is CROWD and not self.returns_to(window))

    @property
    def loss_now(self) -> Loss:
        """What its loss would be if everything stopped now."""
        if self.state is IN_FLIGHT and not self.loss:
            return self.owner.loss
        return self.loss


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An event that will not be delivered again, and why."""

    delivery: Delivery
    reason: str


class KeptDelivery(msgspec.Struct, frozen=True, array_like=True):
    """A delivery as it is kept over restarts. ``due`` is the end of its delay, in ns since the epoch.

    Files of version 1 have the first two alone.
    """

    index: int
    attempts: int
    worker: str = ""
    loss: Loss = UNLOST
    alone: bool = False
    due: int = 0

    @classmethod
    def of(cls, delivery: Delivery, *, due: int) -> KeptDelivery:
        """How *delivery* is to be taken up again if everything stops now; *due* is the end of its delay, if any."""
        return cls(
            index=delivery.index,
            attempts=delivery.attempts,
            worker=delivery.worker,
            loss=delivery.loss_now,
            alone=delivery.alone,
            due=due,
        )

    def delivery(self, event_id: str, key: str) -> Delivery:
        """The delivery, of the event of this id and key."""
        return Delivery(
            self.index,
            event_id,
            attempts=self.attempts,
            worker=self.worker,
            loss=self.loss,
            alone=self.alone,
            key=key,
        )
