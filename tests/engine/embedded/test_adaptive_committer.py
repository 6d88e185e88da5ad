"""Under ``fsync=always`` a fast disk is waited for in place; a slow one never holds the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

from bus.engine.embedded.group_commit import SMALL, AdaptiveCommitter
from bus.errors import LogFailedError, StorageError
from bus.storage import Log
from tests.engine.support import batch
from tests.storage.doubles import EIO, Act, FaultyFiles
from tests.storage.forgetful import ForgetfulFiles

DIRECTORY = Path("/log")
MANY = 1000
"""Fast commits after which the disk must be known to be fast, and the thread have come to rest in between."""

Answer = tuple[int, StorageError | None]


class TimedFiles(FaultyFiles):
    """A disk that forgets what was not synced; a sync takes *seconds* of its clock, and waits for *free*."""

    def __init__(self) -> None:
        self.forgetful = ForgetfulFiles()
        super().__init__(self.forgetful)
        self.seconds = 0.0001
        self.now = 0.0
        self.free = threading.Event()
        self.free.set()
        self.reached = threading.Event()
        self.threads: list[threading.Thread] = []

    def count(self, call: str, path: Path, *, partly: Act = lambda: None) -> None:
        if call == "sync":
            self.threads.append(threading.current_thread())
            self.now += self.seconds
            self.reached.set()
            self.free.wait()
        super().count(call, path, partly=partly)


class Setup:
    """A log on such a disk, and its committer."""

    def __init__(self) -> None:
        self.files = TimedFiles()
        self.log = Log.open(DIRECTORY, files=self.files, segment_bytes=1 << 20)
        self.committer = AdaptiveCommitter(self.log, asyncio.get_running_loop(), clock=lambda: self.files.now)

    def start(self, payload: bytes = b"1") -> asyncio.Future[Answer]:
        """Begin a commit of one event; the future has its answer, which must be durable by then."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        fresh = batch(self.log.next, ["app.a"], payload=payload)

        def committed(stored: int, failure: StorageError | None) -> None:
            if stored:
                assert self.left() >= fresh.next, "it was answered before it was durable"
            answered.set_result((stored, failure))

        self.committer.commit([fresh], committed)
        return answered

    async def commit(self, payload: bytes = b"1") -> threading.Thread:
        """Commit one event; returns the thread that synced it."""
        assert await self.start(payload) == (1, None)
        return self.files.threads[-1]

    async def warm_up(self) -> None:
        """Commit until the disk is known to be fast, and the thread has nothing left to do."""
        for _ in range(MANY):
            if await self.commit() is here():
                return
        raise AssertionError(f"after {MANY} fast commits none is done in place")

    def left(self) -> int:
        """The next index after a power cut now."""
        return Log.open(DIRECTORY, files=self.files.forgetful.crash(), segment_bytes=1 << 20).next


def run(test: Callable[[Setup], Awaitable[None]]) -> None:
    async def main() -> None:
        setup = Setup()
        try:
            await test(setup)
        finally:
            setup.files.free.set()
            setup.committer.close()

    asyncio.run(main())


def here() -> threading.Thread:
    return threading.current_thread()


def test_a_fast_disk_is_synced_in_place_once_it_is_known() -> None:
    async def test(setup: Setup) -> None:
        assert await setup.commit() is not here(), "nobody knows the disk yet"
        await setup.warm_up()
        assert await setup.commit() is here()
        assert setup.start().done(), "the answer is there before anything else is done"

    run(test)


def test_after_one_slow_sync_the_loop_is_held_no_more() -> None:
    async def test(setup: Setup) -> None:
        await setup.warm_up()
        setup.files.seconds = 0.02
        assert await setup.commit() is here()
        setup.files.free.clear()
        setup.files.reached.clear()
        answer = setup.start()
        await asyncio.to_thread(setup.files.reached.wait)
        assert not answer.done(), "the loop is free while the disk is not"
        setup.files.free.set()
        assert await answer == (1, None)
        setup.files.seconds = 0.0001
        await setup.warm_up()

    run(test)


def test_a_large_commit_is_never_done_in_place() -> None:
    async def test(setup: Setup) -> None:
        await setup.warm_up()
        assert await setup.commit(b'"' + b"x" * SMALL + b'"') is not here()

    run(test)


def test_while_the_thread_works_on_the_log_nobody_else_does() -> None:
    async def test(setup: Setup) -> None:
        await setup.warm_up()
        leave, order = threading.Event(), list[str]()

        def maintain() -> None:
            leave.wait()
            order.append("maintained")

        setup.committer.maintain(maintain)
        answer = setup.start()
        answer.add_done_callback(lambda _: order.append("committed"))
        assert not answer.done()
        leave.set()
        await answer
        await asyncio.sleep(0)
        assert order == ["maintained", "committed"]

    run(test)


def test_a_sync_that_fails_in_place_stores_nothing() -> None:
    async def test(setup: Setup) -> None:
        await setup.warm_up()
        before = setup.left()
        setup.files.fail["sync"] = EIO
        for _ in range(2):
            stored, failure = await setup.start()
            assert stored == 0 and isinstance(failure, LogFailedError)
            setup.files.fail.clear()
        assert setup.left() == before

    run(test)
