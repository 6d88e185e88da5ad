"""Work in rounds: one at a time, when there is something to do, and whoever waits is told when one is over.

wake ─▶ round ─▶ round ─▶ …  until nobody has woken it meanwhile
          │                                                    a failure ends that, and a later wake begins anew
          └─▶ those who wait
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Future, Task, TimerHandle
from collections.abc import Awaitable, Callable

from bus.errors import BusError


class Rounds:
    """Does *work*, a round of it at a time; *failed* makes the error of whatever it raises.

    ``timer`` is what will wake it, if somebody asked for that.
    """

    def __init__(
        self, work: Callable[[], Awaitable[None]], *, failed: Callable[[Exception], BusError], loop: AbstractEventLoop
    ) -> None:
        self._work = work
        self._failed = failed
        self._loop = loop
        self._again = False
        self._over: BusError | None = None
        self._task: Task[None] | None = None
        self.timer: TimerHandle | None = None
        self._waiting: list[Future[None]] = []

    def wake(self) -> None:
        """Have done what there is to do."""
        if self._over:
            return
        self._again = True
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if self._task is None or self._task.done():
            self._task = self._loop.create_task(self._run())

    def wake_later(self, seconds: float) -> None:
        """Wake in so many *seconds*, unless that is to happen anyway."""
        if self.timer is None and not self._over:
            self.timer = self._loop.call_later(seconds, self.wake)

    async def _run(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._work()
            except Exception as error:
                self.tell(self._failed(error))
                return
            self.tell(None)

    def next(self) -> Future[None]:
        """The end of a round that begins now, or is under way."""
        waiting: Future[None] = self._loop.create_future()
        if self._over:
            waiting.set_exception(self._over)
        else:
            self._waiting.append(waiting)
            self.wake()
        return waiting

    def tell(self, failure: BusError | None) -> None:
        """Tell those who wait that a round is over, or that it failed."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_exception(failure) if failure else one.set_result(None)

    @property
    def is_over(self) -> bool:
        """Whether there are no more rounds."""
        return self._over is not None

    def stop(self, why: BusError) -> None:
        """Do no more; whoever waits is told *why*."""
        self._over = why
        for waking in (self._task, self.timer):
            if waking:
                waking.cancel()

    def __repr__(self) -> str:
        busy = self._task is not None and not self._task.done()
        return f"<Rounds, {'over' if self._over else 'busy' if busy else 'idle'}>"
