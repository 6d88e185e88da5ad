"""The answers of one connection, which go out in the order of its requests.

    written ─▶ is it the first? ──▶ taken, with all complete ones behind it, in one write
                   └─ no: held back until those before it are written

While requests are still being cut from what came in (``corked``), complete answers wait for each other, so that what
came together is answered together.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

from bus.server.http import limits
from bus.server.http.responder import Responder


class QueueState(Enum):
    """Whether answers are being taken, further up the stack, or the last one was."""

    OPEN = auto()
    TAKING = auto()
    ENDED = auto()


OPEN: Final = QueueState.OPEN
TAKING: Final = QueueState.TAKING
ENDED: Final = QueueState.ENDED
"""Names of their own: until Python 3.12, to look one up in its class takes longer than a step between them."""


class AnswerQueue:
    """The answers that are ``waiting``, in the order of their requests; ``corked`` keeps complete ones for one write.

    ``held_back`` counts the bytes that wait for their turn.
    """

    __slots__ = ("corked", "held_back", "state", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Responder] = deque()
        self.corked = False
        self.held_back = 0
        self.state = OPEN

    def take(self) -> bytes | None:
        """What is due; None if it is being taken already, further up, or to wait for more answers."""
        if self.state is not OPEN or (self.corked and self._may_wait()):
            return None
        self.state = TAKING
        due = b""
        waiting = self.waiting
        while waiting:
            first = waiting[0]
            if first.when_first:
                self._begin(first)
            due += first.due
            if not first.done:
                first.due = b""
                break
            waiting.popleft()
            if first.close:
                self._end()
                return due
            if waiting and waiting[0].on_writable:
                self.go_on()
        self.held_back = sum([len(responder.due) for responder in waiting]) if len(waiting) > 1 else 0
        self.state = OPEN
        return due

    def _begin(self, first: Responder) -> None:
        """Let the first answer know that its turn has come."""
        call, first.when_first = first.when_first, None
        if call:
            first.run(call)

    def _may_wait(self) -> bool:
        """Whether the first answer is complete, and few have come together yet."""
        waiting = self.waiting
        return bool(waiting) and waiting[0].done and len(waiting) < limits.ANSWERS_TOGETHER

    def _end(self) -> None:
        """Nothing follows an answer that ends the connection."""
        self.state = ENDED
        self.waiting.clear()

    def go_on(self) -> None:
        """Tell the first answer that what it writes leaves at once."""
        if (first := self.waiting[0]).on_writable:
            first.on_writable()

    def lost(self) -> None:
        """The connection is gone, and nobody takes the answers."""
        for responder in self.waiting:
            responder.lost()
        self.waiting.clear()

    def __repr__(self) -> str:
        return f"<AnswerQueue of {len(self.waiting)}, {self.held_back} bytes held back>"
