"""What only the client for threads does."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from bus import Client
from bus.errors import BusError, ConnectionFailedError
from bus.event import Receipt
from tests.conftest import StartServer
from tests.support import PATIENCE, ServerProcess

pytestmark = pytest.mark.every_engine


def test_threads_share_a_client(server: ServerProcess, app: str) -> None:
    with Client(server.url) as client, ThreadPoolExecutor(16) as threads:
        receipts = list(threads.map(lambda number: client.put(f"{app}.a", number), range(800)))
        assert sorted(receipt.index for receipt in receipts) == list(range(1, 801))
        stored = {event.index: event.payload for event in client.get(f"{app}.a", start="oldest", follow=False)}
        assert stored == {receipt.index: number for number, receipt in enumerate(receipts)}


def test_events_are_acknowledged_from_other_threads(server: ServerProcess, app: str) -> None:
    with Client(server.url) as client, ThreadPoolExecutor(8) as threads:
        client.put_many([{"subject": f"{app}.a"}] * 200)
        options = {"ack": "manual", "prefetch": 50, "redelivery": "1m"}
        with client.get(f"{app}.a", start="oldest", limit=200, **options) as events:  # type: ignore[arg-type]
            for acknowledged in [threads.submit(event.ack) for event in events]:
                acknowledged.result(PATIENCE)


def test_a_stream_can_be_closed_from_another_thread(server: ServerProcess, app: str) -> None:
    with Client(server.url) as client:
        events = client.get(f"{app}.a")
        ended: list[int] = []
        reader = threading.Thread(target=lambda: ended.extend(event.index for event in events))
        reader.start()
        events.close()
        reader.join(PATIENCE)
        assert not reader.is_alive()
        assert ended == []


def test_closing_the_client_ends_its_streams(server: ServerProcess, app: str) -> None:
    client = Client(server.url)
    events = client.get(f"{app}.a")
    reader = threading.Thread(target=lambda: list(events))
    reader.start()
    client.close()
    reader.join(PATIENCE)
    assert not reader.is_alive()


def test_a_forked_child_makes_connections_of_its_own(server: ServerProcess, app: str) -> None:
    with Client(server.url) as client:
        client.put(f"{app}.a", "parent")
        child = os.fork()
        if child == 0:
            status = 1
            with suppress(BaseException):
                client.put(f"{app}.a", "child")
                status = 0
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.put(f"{app}.a", "parent")
        payloads = [event.payload for event in client.get(f"{app}.a", start="oldest", follow=False)]
        assert payloads == ["parent", "child", "parent"]


def test_every_receipt_is_kept_when_the_server_crashes(start_server: StartServer) -> None:
    server = start_server()
    receipts: list[Receipt] = []
    done = threading.Event()

    def publish(client: Client, name: int) -> None:
        number = 0
        while not done.is_set():
            number += 1
            with suppress(BusError):  # without a key a put whose connection breaks is not repeated
                receipts.append(client.put("app.a", [name, number]))

    with Client(server.url, timeout=PATIENCE) as client, ThreadPoolExecutor(4) as threads:
        for name in range(4):
            threads.submit(publish, client, name)
        for _ in range(3):
            seen = len(receipts)
            while len(receipts) < seen + 50:
                done.wait(0.01)
            server.restart()
        done.set()
        threads.shutdown()
        stored = {event.id for event in client.get("app.a", start="oldest", follow=False)}
        assert len({receipt.id for receipt in receipts}) == len(receipts)
        assert {receipt.id for receipt in receipts} <= stored


def test_independent_events_say_which_of_them_were_lost_with_the_server(start_server: StartServer) -> None:
    server = start_server()
    with Client(server.url, timeout=0.3) as client:
        server.kill()
        try:
            client.put_many([{"subject": "app.a"}] * 10, atomic=False)
        except ConnectionFailedError as error:
            assert "can't reach" in error.message
        else:
            raise AssertionError("nothing could be sent")
