"""Writing segments anew beside publishing: one at a time, on a thread, with rests.

    thread    read and write, a little at a time ─▶ synced ┐                ┌─▶ names durable, old files gone
    writer of the log                     between commits  └─▶ in its place ┘

What takes time is done on the thread; all that publishers wait for is two renames. The thread needs the interpreter as
they do, so it works for a moment and rests: for as long again, and while events are published for several times that.
"""

from __future__ import annotations

import asyncio
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum
from functools import partial
from typing import TypeVar

from bus.engine.consumer.consumer import Consumer
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.guard import as_bus_error
from bus.errors import StoppingError
from bus.storage.batch import Batch
from bus.storage.deletion import Doomed
from bus.storage.log_reader import OutOfLogError
from bus.storage.rewriting import Rewritten
from bus.storage.segment import SegmentInfo

WORK_SECONDS = 0.0005
REST_SECONDS = 0.0005
REST_SECONDS_BESIDE_COMMITS = 0.003
"""How long the thread works at a time, and rests then, so that the loop has the interpreter to itself."""

QUIET = 0.010
"""Seconds after a commit until nobody seems to publish."""

T = TypeVar("T")


class Pace:
    """Keeps a thread at a pace: it calls this between pieces of its work, each much shorter than `WORK_SECONDS`.

    *committed_at* tells when the last commit was, by the clock *now*.
    """

    def __init__(self, committed_at: Callable[[], float], now: Callable[[], float]) -> None:
        self._committed_at = committed_at
        self._now = now
        self._since = now()
        self._stopped = False

    def __call__(self) -> None:
        """Rest if it is time to. Raises `StoppingError` once it was stopped."""
        if self._stopped:
            raise StoppingError("the server is stopping: nothing was changed")
        now = self._now()
        if now - self._since > WORK_SECONDS:
            time.sleep(REST_SECONDS if now > self._committed_at() + QUIET else REST_SECONDS_BESIDE_COMMITS)
            self._since = self._now()

    def stop(self) -> None:
        """Have the thread stop where it is."""
        self._stopped = True

    def __repr__(self) -> str:
        return f"<Pace{', stopped' if self._stopped else ''}>"


class Replaced(Enum):
    """What became of segments that were to be written anew."""

    UNCHANGED = "nothing of them was doomed"
    GONE = "some of them were removed meanwhile, and the others are as they were"


class Rewriter:
    """Writes the segments of an engine anew; *consumers* gives those of a namespace, of all kinds.

    Whoever writes one, or several that must not change meanwhile, holds ``turn``.
    """

    def __init__(
        self, pace: Pace, consumers: Callable[[LogNamespace], Iterable[Consumer]], loop: AbstractEventLoop
    ) -> None:
        self.pace = pace
        self.turn = asyncio.Lock()
        self._consumers = consumers
        self._loop = loop

    async def rewrite(
        self, namespace: LogNamespace, segments: Sequence[SegmentInfo], doomed: Doomed, *, merge: bool = False
    ) -> Rewritten | Replaced:
        """Put the first of *segments* without what is *doomed* in its place, durably; returns what was put there.

        If there is to *merge*, the next ones are added until they make half a segment, and what is deleted takes no
        room. Errors are those of ``LogReader.rewrite``.
        """
        store, fill = namespace.store, namespace.store.segment_bytes // 2 if merge else 0
        try:
            found = await asyncio.to_thread(store.rewrite, segments, self._paced(doomed), fill=fill, condense=merge)
        except OutOfLogError:  # retention was faster
            return Replaced.GONE
        if found is None:
            return Replaced.UNCHANGED
        if not await self._replace(namespace, found):
            return Replaced.GONE
        await asyncio.to_thread(store.finish, found)
        return found

    async def _replace(self, namespace: LogNamespace, found: Rewritten) -> bool:
        """Put what was written in its place; subjects are counted anew if that may have been done by halves."""
        namespace.subjects.removing()
        try:
            is_there = await self.between_commits(namespace, partial(namespace.store.replace, found))
        except BaseException:
            namespace.subjects.recount()
            raise
        namespace.subjects.rewritten(found if is_there else None)
        return is_there

    def forget(self, namespace: LogNamespace) -> None:
        """Forget what is in memory of events that were deleted, and have consumers look again."""
        namespace.forget_read()
        namespace.shrunk()
        for consumer in self._consumers(namespace):
            consumer.look_again()

    def _paced(self, doomed: Doomed) -> Doomed:
        def rested(batch: Batch) -> Collection[int]:
            self.pace()
            return doomed(batch)

        return rested

    async def between_commits(self, namespace: LogNamespace, work: Callable[[], T]) -> T:
        """Have *work* done where the log is written; what it returns, or raises."""
        done: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                failure = as_bus_error(error, f"writing segments of namespace {namespace.name} anew")
                self._loop.call_soon_threadsafe(_fail, done, failure)
            else:
                self._loop.call_soon_threadsafe(_tell, done, result)

        namespace.maintain(run)
        return await done

    def __repr__(self) -> str:
        return f"<Rewriter, {'busy' if self.turn.locked() else 'idle'}>"


def _tell(done: asyncio.Future[T], result: T) -> None:
    if not done.done():
        done.set_result(result)


def _fail(done: asyncio.Future[T], error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
