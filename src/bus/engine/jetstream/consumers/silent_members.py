"""Members of a consumer that are silent, all that one server has: what they leave to those of other servers.

    all silent ─▶ do others wait? ─┬─ yes: what came back goes to them
                                   └─ no: one event at a time is asked again, as ever

A silent member is asked again with what timed out on it, by which it may show that it is well. With nothing left
to be asked with it would be silent for good, so after a while it is given new events.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from bus.engine.consumer.consumer import Consumer
from bus.nats import NatsError

log = logging.getLogger("bus.engine")

FORGIVEN_AFTER = 10.0
"""Seconds until members that are all silent are given new events, if nothing is left to ask them again with."""


class SilentMembers:
    """Looks after the members of *consumer* while none of them is heard.

    *others_wait* asks whether other servers have members with room; *leave* leaves to them what came back.
    """

    def __init__(
        self,
        consumer: Consumer,
        *,
        others_wait: Callable[[], Awaitable[bool]],
        leave: Callable[[], None],
        do: Callable[[Coroutine[Any, Any, None]], None],
        loop: AbstractEventLoop,
    ) -> None:
        self._consumer = consumer
        self._others_wait = others_wait
        self._leave = leave
        self._do = do
        self._loop = loop
        self._forgiving: TimerHandle | None = None

    @property
    def _nobody_is_heard(self) -> bool:
        return bool(self._consumer.subscriptions) and not self._consumer.pending.windows.heard

    def changed(self) -> None:
        """Deliveries or members stand otherwise now."""
        if not self._nobody_is_heard:
            return
        self._await_word()
        if any(self._consumer.pending.ready(1)) and not self._consumer.held:
            self._consumer.held = True
            self._do(self._offer_to_others())

    async def _offer_to_others(self) -> None:
        """Nothing is handed out until it is known whether others wait."""
        try:
            if await self._others_wait() and self._nobody_is_heard:
                self._leave()
        except NatsError as error:
            log.debug("consumer %s: it isn't known whether others wait: %s", self._consumer.name, error)
        finally:
            self._consumer.held = False
            self._consumer.pump_soon()

    def _await_word(self) -> None:
        if self._forgiving is None:
            self._forgiving = self._loop.call_later(FORGIVEN_AFTER, self._forgive)

    def _forgive(self) -> None:
        self._forgiving = None
        if not self._nobody_is_heard:
            return
        if len(self._consumer.pending):
            self._await_word()
            return
        for member in self._consumer.subscriptions:
            self._consumer.pending.windows.hear(member.window, now=self._loop.time())
        self._consumer.pump_soon()

    def close(self) -> None:
        """Look after nobody any more."""
        if self._forgiving:
            self._forgiving.cancel()

    def __repr__(self) -> str:
        return f"<SilentMembers of {self._consumer!r}>"
