"""Both workers when they are told to stop, or their server is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from typing import Any

import pytest

from bus import Client
from tests.client.support import listening
from tests.client.workers import StartWorker, collecting, taken
from tests.conftest import StartServer
from tests.support import PATIENCE, ServerProcess, clean_environment

pytestmark = pytest.mark.every_engine


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
        # The server may learn that the first has gone only after it has handed an event to the second.
        assert sorted(payload for payload, _ in taken(handled, 3)) == [1, 2, 3]


def test_a_worker_outlives_its_server_and_a_change_of_its_consumer(
    start_server: StartServer, start_worker: StartWorker
) -> None:
    handled, handler = collecting()
    server = start_server()
    start_worker(server, "app.a", handler)
    with Client(server.url) as client:
        client.put("app.a", 1)
        assert taken(handled, 1) == [(1, 1)]
        client.consumers.edit("of-app", redelivery="2m", redelivery_count=9)
        server.restart()
        client.put("app.a", 2)
    payloads = iter(lambda: handled.get(timeout=PATIENCE)[0], None)
    assert next(payload for payload in payloads if payload != 1) == 2


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
        try:
            assert process.stdout.readline() == "begun 1\n"
            process.send_signal(number)
            assert process.stdout.readline() == f"worker {app} is stopping, 1 of its handlers are running\n"
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.read() == "done 1\nreturned\n"
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
