"""Bits that flip on the disks of nodes: what one good replica has reaches every reader; what none has is a gap."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from bus.nats import Client, Delivery, NatsError
from tests.jetstream.conftest import StartBus
from tests.nats.conftest import run_with
from tests.nats.servers import Node, Servers
from tests.server.support import draft, upload
from tests.support import PATIENCE, ServerProcess, Stream, subscribe

pytestmark = pytest.mark.timeout(180)

EVENTS = 300
ALL = list(range(1, EVENTS + 1))
FLIPPED = (7, 57, 58, 59, 150, 299)
GAPS = [(7, 7), (57, 59), (150, 150), (299, 299)]


def _payload(index: int) -> str:
    return f"payload-{index:03}-of-an-event"


def _publish(server: ServerProcess) -> None:
    receipts = upload(server, [draft("app.a", _payload(index)) for index in ALL])
    assert [receipt["index"] for receipt in receipts] == ALL


def _damage(nodes: Sequence[Node]) -> None:
    """One after the other, stop it, flip a bit of each event of `FLIPPED` in its files, and start it."""
    for node in nodes:
        _wait_until_whole(node)
        node.stop()
        assert sum(_flip(node, _payload(index).encode()) for index in FLIPPED) == len(FLIPPED)
        node.start()
        node.wait_healthy()


def _wait_until_whole(node: Node) -> None:
    """Return when the copy of *node* has all events: a follower may be behind the answer."""
    deadline = time.monotonic() + PATIENCE
    while _events(node) < EVENTS:
        assert time.monotonic() < deadline, f"{node} has {_events(node)} events"
        time.sleep(0.02)


def _events(node: Node) -> int:
    streams = node.monitor("/jsz?streams=1")["account_details"][0]["stream_detail"]
    return next(int(found["state"]["messages"]) for found in streams if found["name"].endswith("_app"))


def _flip(node: Node, payload: bytes) -> int:
    """In how many files a bit of *payload* was flipped."""
    found = 0
    for file in node.store.glob("**/bus_*_app/msgs/*.blk"):
        data = bytearray(file.read_bytes())
        if (place := data.find(payload)) >= 0:
            data[place] ^= 1
            file.write_bytes(data)
            found += 1
    return found


async def _skipped(client: Client) -> list[int]:
    """What a consumer of NATS itself never gets, from one replica or another."""
    [stream] = [found for found in await client.jetstream.streams() if found.config.name.endswith("_app")]
    came: asyncio.Queue[int] = asyncio.Queue()

    def heard(heard: Delivery | NatsError) -> None:
        if isinstance(heard, Delivery):
            came.put_nowait(heard.seq)

    following = client.jetstream.follow(stream.config.name, heard, start=1)
    missing = set(ALL)
    while EVENTS in missing:
        missing.discard(await came.get())
    await following.close()
    return sorted(missing)


@contextmanager
def _asleep(nodes: Servers, servers: Sequence[ServerProcess]) -> Iterator[list[Stream]]:
    """A live stream of each of *servers*, all of which sleep and will find their connections to NATS gone."""
    with ExitStack() as stack:
        streams = [stack.enter_context(subscribe(server, "app.>")) for server in servers]
        for server, stream in zip(servers, streams, strict=True):
            stream.take(1, "open")
            server.freeze()
            stack.callback(server.signal, signal.SIGCONT)
        nodes.kill()
        nodes.start()
        yield streams


def _told(stream: Stream) -> tuple[list[int], list[tuple[int, int]]]:
    """The indexes of the events of *stream* up to the last, and its gaps."""
    events: list[int] = []
    gaps: list[dict[str, Any]] = []
    while EVENTS not in events:
        event = stream.next()
        if event.kind == "msg":
            events.append(json.loads(event.data)["index"])
        elif event.kind == "gap":
            gaps.append(json.loads(event.data))
    assert {gap["reason"] for gap in gaps} <= {"damaged"}
    return events, [(gap["first_missing"], gap["last_missing"]) for gap in gaps]


@pytest.mark.parametrize(
    ("damaged", "lost", "gaps"), [(2, (), []), (3, FLIPPED, GAPS)], ids=["a good copy is left", "no good copy is left"]
)
def test_a_live_stream_gets_what_a_good_copy_has(
    nodes: Servers, start_bus: StartBus, damaged: int, lost: Sequence[int], gaps: list[tuple[int, int]]
) -> None:
    """The tail of each server is read from one replica, any of them."""
    publisher, servers = start_bus(nodes), [start_bus(nodes) for _ in range(3)]
    with _asleep(nodes, servers) as streams:
        _publish(publisher)
        _damage(nodes.nodes[:damaged])
        for server in servers:
            server.signal(signal.SIGCONT)
        for stream in streams:
            assert _told(stream) == ([index for index in ALL if index not in lost], gaps)


@pytest.mark.parametrize(
    ("damaged", "lost", "gaps"), [(1, (), []), (3, FLIPPED, GAPS)], ids=["good copies are left", "no good copy is left"]
)
def test_a_replay_gets_what_a_good_copy_has(
    nodes: Servers, start_bus: StartBus, damaged: int, lost: Sequence[int], gaps: list[tuple[int, int]]
) -> None:
    _publish(start_bus(nodes))
    _damage(nodes.nodes[:damaged])
    for _ in range(3):
        with subscribe(start_bus(nodes), "app.>", start="oldest") as stream:
            assert _told(stream) == ([index for index in ALL if index not in lost], gaps)


def test_a_consumer_of_nats_skips_what_is_damaged(nodes: Servers, start_bus: StartBus) -> None:
    """The control: the copies are damaged, and nobody but Bus notices."""
    _publish(start_bus(nodes))
    _damage(nodes.nodes)
    assert run_with(nodes.url, _skipped) == list(FLIPPED)
