"""Requests and their answers, over one subscription for all of them.

     _INBOX.<this client>.<number>     each request has a number, by which its answers find it

Who asks has a slot of a timing wheel and neither timer nor task: a slot is a tick of `TICK` seconds, and one timer
waits for the first slot that anybody is in.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from msgspec import Struct

from bus.nats.cluster import Cluster
from bus.nats.errors import (
    ConnectionLostError,
    NatsError,
    NoAnswerError,
    NoRespondersError,
    NotDeliveredError,
    RefusedError,
)
from bus.nats.message import Message

TICK = 0.05
_NO_RESPONDERS = b"NATS/1.0 503"

Done = Callable[[Message | NatsError], None]
"""Told the answer, or what is known of a request that has none."""


class Request(Struct, eq=False):
    """What was asked of *subject* and is answered at *inbox*: once, or until it ends if it has *many* answers."""

    subject: str
    inbox: str
    done: Done
    seconds: float
    many: bool
    slot: set[str]
    """All that wait as long."""


class Requests:
    """Requests over *cluster*, which is to be connected afterwards."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._loop = asyncio.get_running_loop()
        self._prefix = f"_INBOX.{secrets.token_hex(8)}."
        self._number = 0
        self._open: dict[str, Request] = {}
        self._slots: dict[int, set[str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        cluster.subscribe(f"{self._prefix}*", self._answered)
        cluster.listen(self)

    def __len__(self) -> int:
        """How many requests wait for an answer."""
        return len(self._open)

    def send(
        self,
        subject: str,
        payload: bytes,
        done: Done,
        *,
        seconds: float,
        headers: bytes = b"",
        many: bool = False,
        inbox: str = "",
    ) -> Request:
        """Ask, and tell *done* in a later turn of the loop: the answer, or by its class what an error means.

        `NotDeliveredError`: certainly not done. `UnknownOutcomeError`: sent, and may be done; *seconds* have gone by
        (`NoAnswerError`) or the connection is lost (`ConnectionLostError`). With *many* each answer is told until the
        request is ended by `end` or by an error, which is told too; `extend` gives it the time anew. With an *inbox*
        that the caller subscribes to, answers are the caller's business.
        """
        inbox = inbox or self.new_inbox()
        request = Request(subject, inbox, done, seconds, many, self._slot(seconds))
        try:
            self.cluster.publish(subject, payload, reply=inbox, headers=headers)
        except NotDeliveredError as error:
            self._loop.call_soon(done, error)
        else:
            self._open[inbox] = request
            request.slot.add(inbox)
        return request

    async def ask(self, subject: str, payload: bytes = b"", *, seconds: float, headers: bytes = b"") -> Message:
        """Ask and return the answer. Raises what `send` tells."""
        future: asyncio.Future[Message | NatsError] = self._loop.create_future()
        self.send(subject, payload, lambda answer: _settle(future, answer), seconds=seconds, headers=headers)
        answer = await future
        if isinstance(answer, NatsError):
            raise answer
        return answer

    def end(self, request: Request) -> None:
        """Tell no more of *request*."""
        if self._open.pop(request.inbox, None) is not None:
            request.slot.discard(request.inbox)

    def extend(self, request: Request) -> None:
        """Give *request* its time anew."""
        slot = self._slot(request.seconds)
        if slot is not request.slot and request.inbox in self._open:
            request.slot.discard(request.inbox)
            slot.add(request.inbox)
            request.slot = slot

    def new_inbox(self) -> str:
        """A subject nobody else has."""
        self._number += 1
        return f"{self._prefix}{self._number}"

    # What follows is called by the cluster.

    def lost(self, error: ConnectionLostError) -> None:
        requests, self._open, self._slots = self._open, {}, {}
        for request in requests.values():
            self._loop.call_soon(request.done, error)

    def back(self) -> None:
        """Nothing waits: what did was told of the loss."""

    def refused(self, error: RefusedError) -> None:
        """Who asked is told when nothing comes, for the server doesn't say whose request it was."""

    def _answered(self, message: Message) -> None:
        request = self._open.get(message.subject)
        if request is None:
            return  # nobody waits any more
        nobody = message.headers.startswith(_NO_RESPONDERS)
        if nobody or not request.many:
            self.end(request)
        request.done(NoRespondersError(request.subject) if nobody else message)

    # The timing wheel

    def _slot(self, seconds: float) -> set[str]:
        """Who is told *seconds* from now, rounded up to a tick."""
        tick = int((self._loop.time() + seconds) / TICK) + 1
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
            if self._timer is None or tick * TICK < self._timer.when():
                self._set_timer()
        return slot

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(min(self._slots) * TICK, self._expire) if self._slots else None

    def _expire(self) -> None:
        now = self._loop.time() + TICK / 2  # a loop may call a little early
        for tick in [tick for tick in self._slots if tick * TICK <= now]:
            for inbox in self._slots.pop(tick):
                request = self._open.pop(inbox)
                self._loop.call_soon(request.done, NoAnswerError(request.subject, request.seconds))
        self._set_timer()


def _settle(future: asyncio.Future[Message | NatsError], answer: Message | NatsError) -> None:
    if not future.done():  # else who awaited it has gone
        future.set_result(answer)
