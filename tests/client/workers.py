"""Workers that run in threads of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Protocol

from bus import AsyncClient, Client
from tests.support import PATIENCE, ServerProcess

Handler = Callable[[Any], Any]


class Running:
    """A worker that runs in a thread of its own."""

    def __init__(self, work: Callable[[Running], None]) -> None:
        self.stop: Callable[[], object] = lambda: None
        self.started = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(work,))
        self._thread.start()

    def _run(self, work: Callable[[Running], None]) -> None:
        try:
            work(self)
        except BaseException as error:
            self.error = error
        finally:
            self.started.set()

    def end(self) -> None:
        """Tell it to stop, unless it has returned, and wait until it has."""
        with suppress(RuntimeError):  # its loop is closed
            self.stop()
        self.join()

    def join(self) -> None:
        """Wait until it has returned. Raises what it raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


class StartWorker(Protocol):
    """Starts a worker, which is stopped and awaited after the test."""

    def __call__(self, server: ServerProcess, subject: str, handler: Handler, **options: Any) -> Running: ...


def run_blocking(server: ServerProcess, subject: str, handler: Handler, tracing: Any = None, **options: Any) -> Running:
    def work(running: Running) -> None:
        with Client(server.url, tracing=tracing) as client:
            worker = client.worker(subject, handler, **options)
            running.stop = worker.stop
            running.started.set()
            worker.run()

    return Running(work)


def run_aio(server: ServerProcess, subject: str, handler: Handler, tracing: Any = None, **options: Any) -> Running:
    async def handle(event: Any) -> Any:
        # The handlers of these tests block, which is no matter to a thread but to a loop.
        return await asyncio.to_thread(handler, event)

    async def main(running: Running) -> None:
        async with AsyncClient(server.url, tracing=tracing) as client:
            worker = client.worker(subject, handle, **options)
            loop = asyncio.get_running_loop()
            running.stop = lambda: loop.call_soon_threadsafe(worker.stop)
            running.started.set()
            await worker.run()

    return Running(lambda running: asyncio.run(main(running)))


def collecting() -> tuple[SimpleQueue[Any], Handler]:
    """A queue, and a handler that puts the payload and attempt of each event into it."""
    handled: SimpleQueue[Any] = SimpleQueue()
    return handled, lambda event: handled.put((event.payload, event.attempts))


def taken(queue: SimpleQueue[Any], count: int) -> list[Any]:
    return [queue.get(timeout=PATIENCE) for _ in range(count)]
