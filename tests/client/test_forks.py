"""Both clients in a process that forks: the child cuts nothing, and makes connections of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from bus import Client
from tests.client.streams import frame
from tests.client.stub import Stub
from tests.client.support import Peer, Wire, accepted, streaming
from tests.client.test_network import QUICK_OPEN
from tests.support import PATIENCE, ServerProcess, clean_environment

StartPeer = Callable[..., Peer]

# Each child says what it could do, and ends in every way a child can.
BLOCKING = """
import gc, os, sys
from bus import Client

client = Client(sys.argv[1])
client.put(sys.argv[2], "before")
events = client.get(sys.argv[2], start="oldest")
assert next(events).payload == "before"
pid = os.fork()
if pid == 0:
    del events
    gc.collect()
    client.put(sys.argv[2], "child")
    client.close()
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
pid = os.fork()
if pid == 0:
    events.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
pid = os.fork()
if pid == 0:
    assert next(events).payload == "child"
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
client.put(sys.argv[2], "after")
print([next(events).payload for _ in range(2)])
client.close()
"""

AIO = """
import asyncio, gc, os, sys
from bus import AsyncClient

async def in_child(client):
    async with asyncio.timeout(20):
        await client.put(sys.argv[2], "child")
        await client.close()

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        await client.put(sys.argv[2], "before")
        events = client.get(sys.argv[2], start="oldest")
        assert (await anext(events)).payload == "before"
        pid = os.fork()
        if pid == 0:
            try:
                del events
                gc.collect()
                asyncio.Runner().run(in_child(client))
            except BaseException as error:
                print("child", repr(error), flush=True)
                os._exit(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        await client.put(sys.argv[2], "after")
        async with asyncio.timeout(20):
            print([(await anext(events)).payload for _ in range(2)])

asyncio.run(main())
"""


@pytest.mark.parametrize("script", [BLOCKING, AIO], ids=["blocking", "aio"])
def test_a_child_cuts_nothing_and_connects_by_itself(server: ServerProcess, app: str, script: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", script, server.url, f"{app}.a"],
        capture_output=True, text=True, timeout=PATIENCE, env=clean_environment(),
    )  # fmt: skip
    assert (found.stdout, found.returncode) == ("['child', 'after']\n", 0), found.stderr
    with Client(server.url) as client:
        events = list(client.get(f"{app}.a", start="oldest", follow=False))
    assert [event.payload for event in events] == ["before", "child", "after"]


FORKING_WORKER = """
import logging, os, sys
from bus import Client

logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(levelname)s %(message)s")

def handler(event):
    pid = os.fork()
    if pid == 0:
        if event.payload == "exit":
            sys.exit(3)
        if event.payload == "raise":
            raise ValueError("in the child")
        return None
    os.waitpid(pid, 0)
    print("handled", event.payload, event.attempts, flush=True)

Client(sys.argv[1]).work(sys.argv[2], handler, consumer=sys.argv[3], concurrency=1)
"""


def test_a_handler_may_fork(server: ServerProcess, app: str) -> None:
    payloads = ["exit", "raise", "return", "exit"]
    command = [sys.executable, "-c", FORKING_WORKER, server.url, f"{app}.a", app]
    with Client(server.url) as client:
        client.put_many([{"subject": f"{app}.a", "payload": payload} for payload in payloads])
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=clean_environment()
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in payloads] == [f"handled {payload} 1\n" for payload in payloads]
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert "WARNING" not in process.stdout.read()


def in_child(work: Callable[[], int]) -> int:
    """What *work* returns in a forked child."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads, which are the point here
        pid = os.fork()
    if pid == 0:
        status = 255
        try:
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_child_of_a_process_that_reads_does_not_hold_its_lock() -> None:
    """A thread holds the stream's lock at the moment of the fork; the child's copy of it would never be released."""

    def play(wire: Wire) -> None:
        wire.send(streaming(QUICK_OPEN + frame(5, attempts=1)))
        wire.until_closed()

    stub = Stub(play)
    with Client(stub.url) as client:
        event = next(client.get("app.a", ack="manual"))
        stream: Any = event.connection.stream

        def acknowledge() -> int:
            event.ack()
            return 7

        with stream._source.lock:
            assert in_child(acknowledge) == 7
        assert stub.next_said() == ("c_1", "ack", "e_5")
    stub.close()


def test_a_child_leaves_idle_connections_to_its_parent(start_peer: StartPeer) -> None:
    peer = start_peer(
        lambda wire: [wire.answer(accepted(index)) for index in (1, 3)], lambda wire: wire.answer(accepted(2))
    )
    with Client(peer.url) as client:
        assert client.put("app.a").index == 1
        assert in_child(lambda: client.put("app.a").index) == 2
        assert client.put("app.a").index == 3
