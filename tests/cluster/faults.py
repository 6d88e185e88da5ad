"""What can happen to a cluster. Each returns when all its nodes are healthy again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from bus.nats import Client, NatsError
from tests.faults.rounds import FULL
from tests.nats.servers import Node, Servers

Fault = Callable[[Servers, Client, str], Awaitable[None]]
"""Is told the servers, a client of theirs and the stream whose leader is meant."""


async def leader(servers: Servers, client: Client, stream: str) -> Node:
    """The node that leads the stream, as soon as one does."""
    while True:
        with suppress(NatsError):
            cluster = (await client.jetstream.stream(stream, seconds=1)).cluster
            if cluster is not None and cluster.leader:
                return servers.node(cluster.leader)
        await asyncio.sleep(0.05)


async def followers(servers: Servers, client: Client, stream: str) -> list[Node]:
    """The others."""
    leading = await leader(servers, client, stream)
    return [node for node in servers.nodes if node is not leading]


async def heal(servers: Servers) -> None:
    await asyncio.to_thread(servers.start)


async def kill_follower(servers: Servers, client: Client, stream: str) -> None:
    (await followers(servers, client, stream))[0].kill()
    await asyncio.sleep(1)
    await heal(servers)


async def kill_leader(servers: Servers, client: Client, stream: str) -> None:
    (await leader(servers, client, stream)).kill()
    await asyncio.sleep(1)
    await heal(servers)


async def kill_two(servers: Servers, client: Client, stream: str) -> None:
    """Two of three are down for a while, so that nothing can be stored."""
    for node in await followers(servers, client, stream):
        node.kill()
    await asyncio.sleep(3)
    await heal(servers)


async def kill_all(servers: Servers, client: Client, stream: str) -> None:
    servers.kill()
    await asyncio.sleep(2)
    await heal(servers)


async def freeze_leader(servers: Servers, client: Client, stream: str, *, seconds: float) -> None:
    """The leader does nothing for *seconds*, with its connections open."""
    frozen = await leader(servers, client, stream)
    frozen.freeze()
    await asyncio.sleep(seconds)
    frozen.thaw()
    await heal(servers)


async def step_down(servers: Servers, client: Client, stream: str) -> None:
    """The leader hands over, five times."""
    for _ in range(5):
        await leader(servers, client, stream)
        with suppress(NatsError):
            await client.requests.ask(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", seconds=2)
    await heal(servers)


async def rolling_restart(servers: Servers, client: Client, stream: str) -> None:
    """Each is stopped and started, and the next one when it is healthy."""
    for node in servers.nodes:
        await asyncio.to_thread(node.stop)
        node.start()
        await asyncio.to_thread(node.wait_healthy)


FAULTS: dict[str, Fault] = {
    "a follower killed": kill_follower,
    "the leader killed": kill_leader,
    "two of three down for 3 s": kill_two,
    "all killed, back after 2 s": kill_all,
    "the leader frozen for 3 s": partial(freeze_leader, seconds=3.0),
    "the leader frozen for 12 s": partial(freeze_leader, seconds=12.0),
    "the leader steps down five times": step_down,
    "all restarted in turn": rolling_restart,
}

SHORT = ("the leader killed", "all killed, back after 2 s", "the leader frozen for 12 s")
CHOSEN = tuple(FAULTS) if FULL else SHORT
"""Those that are run where others run all of them."""
