"""A delivery, which is one event on its way to being acknowledged, and the window it is in flight in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final


class DeliveryState(StrEnum):
    HELD = "held"
    READY = "ready"
    IN_FLIGHT = "in flight"
    DELAYED = "delayed"
    AWAITED = "awaited"


HELD: Final = DeliveryState.HELD
READY: Final = DeliveryState.READY
IN_FLIGHT: Final = DeliveryState.IN_FLIGHT
DELAYED: Final = DeliveryState.DELAYED
AWAITED: Final = DeliveryState.AWAITED
"""Names of their own: until Python 3.12, to look one up in its class takes longer than a step between them."""


TIMED: Final = (IN_FLIGHT, DELAYED, AWAITED)
"""The states that end by themselves."""


class Loss(IntEnum):
    """How the last attempt was lost: not at all, in flight by itself, or beside others.

    Of events that were in flight together nobody knows which one brought the worker down.
    """

    NONE = 0
    SINGLE = 1
    CROWD = 2


UNLOST: Final = Loss.NONE
SINGLE: Final = Loss.SINGLE
CROWD: Final = Loss.CROWD


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


NOBODY: Final = Window("")
"""The window of what was never delivered since the server started."""


class Delivery:
    """One event on its way: its *index*, its id, and its *key* where the order is by keys.

    ``since`` is when it was last delivered, ``due`` when its state ends by itself.
    ``owner`` and ``worker`` are the connection and the process that had it last; a word of theirs after ``listen``
    shows that they are well. ``queued`` tells that it waits for its turn among those that are ready.
    """

    __slots__ = (
        "alone", "attempts", "due", "event_id", "index", "key", "listen", "loss", "owner", "queued", "since", "state",
        "worker",
    )  # fmt: skip

    def __init__(self, index: int, event_id: str, *, attempts: int = 0, key: str = "") -> None:
        self.index = index
        self.event_id = event_id
        self.key = key
        self.state: DeliveryState = READY
        self.attempts = attempts
        self.owner = NOBODY
        self.worker = ""
        self.loss: Loss = UNLOST
        self.alone = False
        self.since = self.due = self.listen = 0.0
        self.queued = False

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

    def __repr__(self) -> str:
        return f"<Delivery of event {self.index}, {self.state}, attempts={self.attempts}>"


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An event that will not be delivered again, and why."""

    delivery: Delivery
    reason: str
