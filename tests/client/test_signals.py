"""Workers and the signals of the program they run in."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from bus import Client
from tests.client.workers import Running
from tests.support import PATIENCE, ServerProcess, clean_environment, request

TWO_THREADS = """
import sys, threading
from bus import Client

url, app = sys.argv[1:3]
ready = threading.Semaphore(0)
with Client(url) as client:
    workers = [client.worker(f"{app}.a", print, consumer=f"{app}-{number}") for number in range(2)]
    beside = threading.Thread(target=workers[0].run)
    beside.start()
    print("working", flush=True)
    workers[1].run()
    beside.join()
print("returned", flush=True)
"""

TWO_TASKS = """
import asyncio, sys
from bus import AsyncClient

async def nothing(event):
    pass

async def main():
    url, app = sys.argv[1:3]
    async with AsyncClient(url) as client:
        workers = [client.work(f"{app}.a", nothing, consumer=f"{app}-{number}") for number in range(2)]
        print("working", flush=True)
        await asyncio.gather(*workers)
    print("returned", flush=True)

asyncio.run(main())
"""

OWN_HANDLER = """
import signal, sys, threading
from bus import Client

url, app = sys.argv[1:3]
with Client(url) as client:
    worker = client.worker(f"{app}.a", print, consumer=app)

    def mine(number, frame):
        print("mine", flush=True)
        worker.stop()

    signal.signal(signal.SIGTERM, mine)
    print("working", flush=True)
    worker.run()
    assert signal.getsignal(signal.SIGTERM) is mine
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("returned", flush=True)
"""

OWN_LOOP_HANDLER = """
import asyncio, signal, sys
from bus import AsyncClient

async def nothing(event):
    pass

async def main():
    url, app = sys.argv[1:3]
    async with AsyncClient(url) as client:
        worker = client.worker(f"{app}.a", nothing, consumer=app)

        def mine():
            print("mine", flush=True)
            worker.stop()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, mine)
        print("working", flush=True)
        await worker.run()
    print("returned", flush=True)

asyncio.run(main())
"""

LEFT_ALONE = """
import sys
from bus import Client

url, app = sys.argv[1:3]
with Client(url) as client:
    print("working", flush=True)
    client.work(f"{app}.a", print, consumer=app, signals=False)
print("returned", flush=True)
"""

LAST_IN_A_THREAD = """
import signal, sys, threading, time
from bus import Client

url, app = sys.argv[1:3]
with Client(url) as client:
    workers = [client.worker(f"{app}.a", print, consumer=f"{app}-{number}") for number in range(2)]
    beside = threading.Thread(target=workers[0].run)
    beside.start()
    threading.Timer(0.3, workers[1].stop).start()
    workers[1].run()
    workers[0].stop()
    beside.join()
    print("working", flush=True)
    time.sleep(60)
print("returned", flush=True)
"""


@contextmanager
def program(script: str, server: ServerProcess, app: str) -> Iterator[subprocess.Popen[str]]:
    """Run *script* until it says that it works."""
    command = [sys.executable, "-W", "error", "-c", script, server.url, app]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment()) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "working\n"
            yield process
        finally:
            process.kill()


def wait_for_consumers(server: ServerProcess, app: str, count: int) -> None:
    """Wait until so many workers are connected."""
    deadline = monotonic() + PATIENCE
    while len(re.findall(rf'"name":"{app}(?:-\d)?"', request(server, "GET", "/v1/consumers").text)) < count:
        assert monotonic() < deadline


@pytest.mark.parametrize("script", [TWO_THREADS, TWO_TASKS], ids=["threads", "tasks"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_every_worker(server: ServerProcess, app: str, script: str, number: signal.Signals) -> None:
    with program(script, server, app) as process:
        wait_for_consumers(server, app, 2)
        process.send_signal(number)
        assert process.communicate(timeout=PATIENCE)[0] == "returned\n"
        assert process.returncode == 0


@pytest.mark.parametrize("script", [OWN_HANDLER, OWN_LOOP_HANDLER], ids=["signal", "loop"])
def test_a_handler_of_the_program_stays(server: ServerProcess, app: str, script: str) -> None:
    with program(script, server, app) as process:
        wait_for_consumers(server, app, 1)
        process.terminate()
        assert process.communicate(timeout=PATIENCE)[0] == "mine\nreturned\n"
        assert process.returncode == 0


def test_signals_can_be_left_alone(server: ServerProcess, app: str) -> None:
    with program(LEFT_ALONE, server, app) as process:
        wait_for_consumers(server, app, 1)
        process.terminate()
        assert process.wait(PATIENCE) == -signal.SIGTERM


def test_a_signal_after_the_last_worker_acts_as_before(server: ServerProcess, app: str) -> None:
    with program(LAST_IN_A_THREAD, server, app) as process:
        process.terminate()
        assert process.wait(PATIENCE) == -signal.SIGTERM


def test_a_worker_in_a_thread_touches_nothing(server: ServerProcess, app: str) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    def work(running: Running) -> None:
        with Client(server.url) as client:
            worker = client.worker(f"{app}.a", print, consumer=app)
            running.stop = worker.stop
            running.started.set()
            worker.run()

    running = Running(work)
    wait_for_consumers(server, app, 1)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    running.end()
