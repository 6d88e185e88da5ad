"""Both workers against a real server: what a handler does decides what becomes of its event."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Protocol

import pytest

from bus import AsyncClient, Client
from bus.client import RejectError
from bus.client.core.work import Plan
from bus.errors import BusError, ServiceError, UnknownNamespaceError
from tests.conftest import StartServer
from tests.support import PATIENCE, ServerProcess, clean_environment

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

    def join(self) -> None:
        """Wait until it has returned. Raises what it raised."""
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


class StartWorker(Protocol):
    """Starts a worker, which is stopped and awaited after the test."""

    def __call__(self, server: ServerProcess, subject: str, handler: Handler, **options: Any) -> Running: ...


def _blocking(server: ServerProcess, subject: str, handler: Handler, **options: Any) -> Running:
    def work(running: Running) -> None:
        with Client(server.url) as client:
            worker = client.worker(subject, handler, **options)
            running.stop = worker.stop
            running.started.set()
            worker.run()

    return Running(work)


def _aio(server: ServerProcess, subject: str, handler: Handler, **options: Any) -> Running:
    async def handle(event: Any) -> Any:
        # The handlers of these tests block, which is no matter to a thread but to a loop.
        return await asyncio.to_thread(handler, event)

    async def main(running: Running) -> None:
        async with AsyncClient(server.url) as client:
            worker = client.worker(subject, handle, **options)
            loop = asyncio.get_running_loop()
            running.stop = lambda: loop.call_soon_threadsafe(worker.stop)
            running.started.set()
            await worker.run()

    return Running(lambda running: asyncio.run(main(running)))


@pytest.fixture(params=[_blocking, _aio], ids=["blocking", "aio"])
def start_worker(request: pytest.FixtureRequest) -> Iterator[StartWorker]:
    started: list[Running] = []

    def start(server: ServerProcess, subject: str, handler: Handler, **options: Any) -> Running:
        started.append(
            request.param(server, subject, handler, **{"consumer": "of-" + subject.partition(".")[0], **options})
        )
        assert started[-1].started.wait(PATIENCE)
        return started[-1]

    yield start
    for running in started:
        if running.error is None:
            with loop_may_be_closed():
                running.stop()
            running.join()


@contextmanager
def loop_may_be_closed() -> Iterator[None]:
    """A worker on a loop may have returned already, and closed it."""
    try:
        yield
    except RuntimeError as error:
        assert "closed" in str(error)


def collecting() -> tuple[SimpleQueue[Any], Handler]:
    """A queue, and a handler that puts the payload and attempt of each event into it."""
    handled: SimpleQueue[Any] = SimpleQueue()
    return handled, lambda event: handled.put((event.payload, event.attempts))


def taken(queue: SimpleQueue[Any], count: int) -> list[Any]:
    return [queue.get(timeout=PATIENCE) for _ in range(count)]


def test_workers_of_one_consumer_share_the_events(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    handled, handler = collecting()
    for _ in range(2):
        start_worker(server, f"{app}.a", handler, concurrency=2)
    with Client(server.url) as client:
        client.put_many([{"subject": f"{app}.a", "payload": number} for number in range(50)])
    assert sorted(taken(handled, 50)) == [(number, 1) for number in range(50)]
    assert handled.empty()


def test_a_consumer_goes_on_where_it_was(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    handled, handler = collecting()
    with Client(server.url) as client:
        client.put(f"{app}.a", 1)
        first = start_worker(server, f"{app}.a", handler)
        assert taken(handled, 1) == [(1, 1)]
        first.stop()
        first.join()
        client.put(f"{app}.a", 2)
        start_worker(server, f"{app}.a", handler)
        assert taken(handled, 1) == [(2, 1)]


def test_a_failed_event_comes_again_after_its_back_off(
    server: ServerProcess, app: str, start_worker: StartWorker
) -> None:
    handled, collect = collecting()

    def handler(event: Any) -> None:
        collect(event)
        if event.attempts < 3:
            raise ValueError("not yet")

    start_worker(server, f"{app}.a", handler, backoff=["10ms", 0.02], redelivery_count=5)
    with Client(server.url) as client:
        client.put(f"{app}.a", "x")
    assert taken(handled, 3) == [("x", 1), ("x", 2), ("x", 3)]


def test_a_rejected_event_does_not_come_again(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    handled, collect = collecting()

    def handler(event: Any) -> None:
        collect(event)
        if event.payload == "bad":
            raise RejectError("can't be handled")

    start_worker(server, f"{app}.a", handler, concurrency=1, redelivery="50ms")
    with Client(server.url) as client:
        client.put_many([{"subject": f"{app}.a", "payload": payload} for payload in ("bad", "good")])
    assert taken(handled, 2) == [("bad", 1), ("good", 1)]


def test_what_a_handler_returns_answers_a_request(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    start_worker(server, f"{app}.add", lambda event: event.payload["a"] + event.payload["b"])
    with Client(server.url) as client:
        assert client.request(f"{app}.add", {"a": 1, "b": 2}, timeout=PATIENCE) == 3
        with pytest.raises(ServiceError, match="KeyError: 'b'"):
            client.request(f"{app}.add", {"a": 1}, timeout=PATIENCE)


def test_a_reason_to_reject_reaches_the_requester(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    def handler(event: Any) -> Any:
        if event.payload is None:
            raise RejectError("nothing to do")
        return object()

    start_worker(server, f"{app}.task", handler)
    with Client(server.url) as client:
        with pytest.raises(ServiceError, match="nothing to do"):
            client.request(f"{app}.task", timeout=PATIENCE)
        with pytest.raises(ServiceError, match="can't be written as JSON"):
            client.request(f"{app}.task", 1, timeout=PATIENCE)


def test_a_handler_may_take_longer_than_the_redelivery_time(
    server: ServerProcess, app: str, start_worker: StartWorker
) -> None:
    handled, collect = collecting()
    busy = threading.Event()

    def handler(event: Any) -> None:
        collect(event)
        if event.payload == "long":
            busy.wait(1.0)  # the work

    start_worker(server, f"{app}.a", handler, redelivery="300ms", concurrency=2)
    with Client(server.url) as client:
        client.put(f"{app}.a", "long")
        assert taken(handled, 1) == [("long", 1)]
        busy.wait(1.2)
        client.put(f"{app}.a", "next")
        assert taken(handled, 1) == [("next", 1)]


class Listening(logging.Handler):
    """Waits for a line of the client's log."""

    def __init__(self, text: str) -> None:
        super().__init__(logging.INFO)
        self._text = text
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.heard.set()


@contextmanager
def listening(text: str) -> Iterator[threading.Event]:
    """An event that is set once the client has logged *text*."""
    log, handler = logging.getLogger("bus.client"), Listening(text)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield handler.heard
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


def test_stopping_finishes_what_runs_and_gives_the_rest_back(
    server: ServerProcess, app: str, start_worker: StartWorker
) -> None:
    handled, collect = collecting()
    begun, finish = threading.Event(), threading.Event()

    def handler(event: Any) -> None:
        begun.set()
        assert finish.wait(PATIENCE)
        collect(event)

    with Client(server.url) as client:
        client.put_many([{"subject": f"{app}.a", "payload": number} for number in range(4)])
        first = start_worker(server, f"{app}.a", handler, concurrency=1, redelivery="30s")
        assert begun.wait(PATIENCE)
        with listening("is stopping") as stopping:
            first.stop()
            assert stopping.wait(PATIENCE)
        finish.set()
        first.join()
        assert taken(handled, 1) == [(0, 1)]
        assert handled.empty()
        start_worker(server, f"{app}.a", handler, concurrency=1)
        assert [payload for payload, _ in taken(handled, 3)] == [1, 2, 3]


def test_what_cannot_be_subscribed_to_is_raised(server: ServerProcess, app: str, start_worker: StartWorker) -> None:
    with pytest.raises(UnknownNamespaceError):
        start_worker(server, "nope.a", print).join()


def test_a_worker_outlives_its_server(start_server: StartServer, start_worker: StartWorker) -> None:
    server = start_server()
    handled, handler = collecting()
    start_worker(server, "app.a", handler, redelivery="1s")
    with Client(server.url, timeout=PATIENCE) as client:
        for number in range(60):
            client.put("app.a", number, key=str(number))
            if number % 20 == 10:
                server.restart()
        counts: Counter[int] = Counter()
        while len(counts) < 60:
            counts[handled.get(timeout=PATIENCE)[0]] += 1


SCRIPT = """
import logging, sys
from bus import Client

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")

def handler(event):
    print("begun", event.payload, flush=True)
    sys.stdin.readline()
    print("done", event.payload, flush=True)

with Client(sys.argv[1]) as client:
    client.work(sys.argv[2], handler, consumer=sys.argv[3], concurrency=1)
print("returned", flush=True)
"""

ASYNC_SCRIPT = """
import asyncio, logging, sys
from bus import AsyncClient

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")

async def handler(event):
    print("begun", event.payload, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print("done", event.payload, flush=True)

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        await client.work(sys.argv[2], handler, consumer=sys.argv[3], concurrency=1)
    print("returned", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("script", [SCRIPT, ASYNC_SCRIPT], ids=["blocking", "aio"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_running_handler_finish(
    server: ServerProcess, app: str, script: str, number: signal.Signals
) -> None:
    with Client(server.url) as client:
        client.put_many([{"subject": f"{app}.a", "payload": payload} for payload in (1, 2)])
    command = [sys.executable, "-W", "error", "-c", script, server.url, f"{app}.a", app]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean_environment()
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "begun 1\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"worker {app} is stopping, 1 of its handlers are running\n"
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.read() == "done 1\nreturned\n"
        assert process.wait(PATIENCE) == 0


def test_a_plan_repeats_its_last_delay() -> None:
    plan = Plan.make("30s", ["1s", 5])
    assert [plan.delay(attempts) for attempts in (0, 1, 2, 3, 9)] == [1, 1, 5, 5, 5]
    assert plan.extension == 10
    assert Plan.make(1, []).delay(3) == 0


def test_a_rejection_is_an_error_of_bus() -> None:
    assert issubclass(RejectError, BusError)
