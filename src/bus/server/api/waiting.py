"""Publishers that wait for what others make of their event: the first reply, or enough confirmations.

    publish ─▶ stored ─▶ answered            200
                 │  └──▶ time is up          504, with the event's headers: it is stored
                 └─────▶ the publisher left

What others make of it may be known before it is known to be stored; it is told when that is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import msgspec

from bus.engine.base import AwaitedConfirmations, Expected, Outcome, Publishing
from bus.errors import BusError, ServiceError, TimedOutError
from bus.event import Draft, Receipt
from bus.server.api.publish_options import Wait
from bus.server.api.timeouts import Timeouts
from bus.server.http.responder import Responder
from bus.server.http.response import format_answered
from bus.subject import parse_subject
from bus.wire import Durability


class WaitingPublisher(ABC):
    """Waits as *wait* says; *timeouts* tells when that has been long enough."""

    __slots__ = ("_early", "_receipt", "_tick", "_timeouts", "engine", "responder", "wait")

    def __init__(self, engine: Publishing, timeouts: Timeouts, responder: Responder, wait: Wait) -> None:
        self.engine = engine
        self.wait = wait
        self._early: Callable[[], None] | None = None
        self._receipt: Receipt | None = None
        self.responder = responder
        self._tick = 0
        self._timeouts = timeouts

    def begin(self, draft: Draft, *, expected: Expected | None, now: int) -> None:
        """Publish *draft* if the log ends as *expected*, and wait from when it is stored. *now* is in ns.

        Raises what `Engine.publish` does.
        """
        self.responder.on_lost = self.stop
        try:
            self.prepare(draft)
            self.engine.publish([draft], self, expected=expected, now=now)
        except Exception:
            self.stop()
            raise

    @abstractmethod
    def prepare(self, draft: Draft) -> None:
        """What is needed before *draft* is published; it isn't kept, for many may wait long."""

    @abstractmethod
    def placed(self, receipt: Receipt) -> None:
        """What is needed once it is stored."""

    @abstractmethod
    def give_up(self) -> None:
        """Undo what `prepare` did, if that was done."""

    @abstractmethod
    def shortfall(self) -> str:
        """What was waited for in vain."""

    # -- what becomes of the event

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self._receipt = cast(Receipt, outcomes[0])  # the batch is atomic
        if self._early:
            self._early()
        else:
            self._tick = self._timeouts.enter(self, self.wait.seconds)
            self.placed(self._receipt)

    def failed(self, error: BusError) -> None:
        self.stop()
        self.responder.fail(error)

    def time_out(self) -> None:
        self.responder.run(self._expire)

    def _expire(self) -> None:
        waited = f"{self.shortfall()} within {self.wait.seconds:g}s"
        self.failed(TimedOutError(f"{waited}; the event is stored", receipt=self._receipt))

    # -- what others make of it

    def answer(self, body: bytes) -> None:
        """Answer with JSON and the event's headers, as soon as it is stored."""
        if self._receipt:
            self.stop()
            self.responder.respond(200, format_answered(self._receipt), body)
        else:
            self._early = self._early or partial(self.answer, body)

    def refuse(self, error: BusError) -> None:
        """Answer with *error*, which is somebody's answer to the event."""
        if self._receipt:
            self.failed(error)
        else:
            self._early = self._early or partial(self.failed, error)

    def stop(self) -> None:
        """Wait no longer."""
        self.responder.on_lost = None
        self._timeouts.leave(self, self._tick)
        self.give_up()


class ReplyWaiting(WaitingPublisher):
    """Waits for the first reply in the draft's inbox, which was made for the purpose."""

    __slots__ = ("_inbox",)

    def prepare(self, draft: Draft) -> None:
        self._inbox = draft.response_subject or ""
        self.engine.await_reply(self._inbox, self.replied)

    def placed(self, receipt: Receipt) -> None:
        """The inbox is named in the event already."""

    def replied(self, payload: bytes, error: str) -> None:
        """This came in, and nothing is awaited any more."""
        self._inbox = ""
        if error:
            self.responder.run(self.refuse, ServiceError(error))
        else:
            self.responder.run(self.answer, payload)

    def give_up(self) -> None:
        if self._inbox:
            self.engine.forget_reply(self._inbox)

    def shortfall(self) -> str:
        return "no reply"


class ConfirmWaiting(WaitingPublisher):
    """Waits until enough distinct consumers have acknowledged."""

    __slots__ = ("_confirmations", "_consumers")

    def __init__(self, engine: Publishing, timeouts: Timeouts, responder: Responder, wait: Wait) -> None:
        super().__init__(engine, timeouts, responder, wait)
        self._confirmations: AwaitedConfirmations | None = None
        self._consumers: Sequence[str] = ()

    def prepare(self, draft: Draft) -> None:
        namespace, _ = parse_subject(draft.subject or "")
        self._confirmations = self.engine.await_confirmations(namespace, partial(self.responder.run, self._confirmed))

    def placed(self, receipt: Receipt) -> None:
        if self._confirmations:
            self._confirmations.stored(receipt.index)

    def _confirmed(self, consumers: Sequence[str]) -> None:
        self._consumers = consumers
        if len(consumers) >= self.wait.consumers:
            self.answer(msgspec.json.encode({"consumers": list(consumers)}))

    def give_up(self) -> None:
        if self._confirmations:
            self._confirmations.stop()

    def shortfall(self) -> str:
        return f"{len(self._consumers)} of {self.wait.consumers} confirmations"
