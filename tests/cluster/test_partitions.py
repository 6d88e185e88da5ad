"""The network between the nodes, and between them and Bus, is cut: nothing is lost, stored twice or out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from bus.nats import Client
from tests.cluster.faults import Fault, followers, leader
from tests.cluster.networks import Network, needs_networks
from tests.cluster.test_bus import suffer
from tests.faults.conftest import Figure
from tests.nats.servers import Node, Servers
from tests.support import ServerProcess

pytestmark = [needs_networks, pytest.mark.timeout(300)]
CUT_SECONDS = 6.0


@pytest.fixture
def network() -> Iterator[Network]:
    with closing(Network(3)) as network:
        yield network


@pytest.fixture
def three(tmp_path: Path, network: Network) -> Iterator[Servers]:
    """Three nodes, each on a host of its own."""
    with Servers(tmp_path / "nats", count=3, hosts=[network.host(number) for number in range(3)]) as servers:
        yield servers


async def leading(servers: Servers, client: Client, stream: str) -> Node:
    return await leader(servers, client, stream)


async def following(servers: Servers, client: Client, stream: str) -> Node:
    return (await followers(servers, client, stream))[0]


@dataclass(frozen=True, slots=True)
class Cut:
    """The host of a node that *choose* finds has *begin* done to it, and *end* a while later."""

    choose: Callable[[Servers, Client, str], Awaitable[Node]]
    begin: Callable[[Network, int], None]
    end: Callable[[Network, int], None]

    def fault(self, network: Network) -> Fault:
        async def suffered(servers: Servers, client: Client, stream: str) -> None:
            number = servers.nodes.index(await self.choose(servers, client, stream))
            self.begin(network, number)
            await asyncio.sleep(CUT_SECONDS)
            self.end(network, number)
            await asyncio.to_thread(servers.wait_healthy)

        return suffered


CUTS = {
    "the leader is cut off": Cut(leading, Network.unplug, Network.plug_in),
    "a follower is cut off": Cut(following, Network.unplug, Network.plug_in),
    "Bus is cut off from the leader": Cut(leading, Network.hide, Network.show),
}


@pytest.mark.parametrize("cut", CUTS)
def test_nothing_is_lost_or_stored_twice(
    network: Network, three: Servers, two: list[ServerProcess], figure: Figure, cut: str
) -> None:
    verdict = suffer(three, two, CUTS[cut].fault(network))
    figure(f"two Bus servers: {cut}", verdict)
    verdict.check()
