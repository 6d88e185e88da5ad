"""Nodes that are killed and frozen under load: nothing is lost, nothing is stored twice, indexes have no holes."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from bus import Client
from bus.errors import BusError, DuplicateKeyError
from tests.jetstream.conftest import StartBus
from tests.nats.servers import Servers
from tests.support import ServerProcess, subscribe


class Publishers:
    """Four that publish with keys, each again until it is stored; ``stored`` are the keys that they were told of."""

    def __init__(self, servers: list[ServerProcess]) -> None:
        self.stored: list[str] = []
        self.longest = 0.0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, server))
            for number, server in enumerate(itertools.islice(itertools.cycle(servers), 4))
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int, server: ServerProcess) -> None:
        with Client(server.url) as client:
            for count in itertools.count():
                key, begun = f"{number}-{count}", time.monotonic()
                while not self._put(client, key):
                    pass
                self.stored.append(key)
                self.longest = max(self.longest, time.monotonic() - begun)
                if self._stop.is_set():
                    return

    def _put(self, client: Client, key: str) -> bool:
        with suppress(DuplicateKeyError):
            try:
                client.put("app.load", {"key": key}, key=key)
            except DuplicateKeyError:
                raise
            except (BusError, OSError):
                return False
        return True

    def more(self, events: int) -> None:
        """Wait until *events* more are stored."""
        end = len(self.stored) + events
        while len(self.stored) < end:
            time.sleep(0.01)

    def finish(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _leader(nodes: Servers) -> str:
    """Who leads the stream, as soon as the first node knows it."""
    while True:
        streams = nodes.nodes[0].monitor("/jsz?streams=1")["account_details"][0]["stream_detail"]
        clusters = (found["cluster"] for found in streams if found["name"].endswith("_app"))
        for cluster in clusters:
            if leader := cluster.get("leader"):
                return str(leader)


def _kill_leader(nodes: Servers) -> None:
    node = nodes.node(_leader(nodes))
    node.kill()
    node.start()


def _kill_follower(nodes: Servers) -> None:
    leader = _leader(nodes)
    node = next(node for node in nodes.nodes if node.name != leader)
    node.kill()
    node.start()


def _kill_all(nodes: Servers) -> None:
    nodes.kill()
    nodes.start()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", [_kill_follower, _kill_leader, _kill_all])
def test_nothing_is_lost_when_nodes_die(
    nodes: Servers, start_bus: StartBus, fault: Callable[[Servers], None], record_property: Callable[..., None]
) -> None:
    servers = [start_bus(nodes), start_bus(nodes)]
    with subscribe(servers[1], "app.>") as live:
        publishers = Publishers(servers)
        try:
            publishers.more(100)
            fault(nodes)
            publishers.more(100)
        finally:
            publishers.finish()
        events = [json.loads(event.data) for event in live.take(len(set(publishers.stored)))]
    with subscribe(servers[0], "app.>", start="oldest", follow="false") as replay:
        replayed = [json.loads(event.data) for event in replay.rest() if event.kind == "msg"]
    keys = [event["payload"]["key"] for event in replayed]
    assert sorted(keys) == sorted(set(publishers.stored)), "lost, or stored twice"
    assert [event["index"] for event in replayed] == list(range(1, len(keys) + 1)), "holes, or out of order"
    assert [event["index"] for event in events] == list(range(1, len(events) + 1)), "the live stream has all of it"
    record_property("longest", publishers.longest)
