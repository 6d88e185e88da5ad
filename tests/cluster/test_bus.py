"""Two Bus servers in front of three nodes: what either acknowledged is kept, whatever happens to any of them."""

from __future__ import annotations

import asyncio

import pytest

from bus.nats import Client
from tests.cluster.faults import FAULTS, Fault
from tests.cluster.http_load import Promises, publishing, read_back
from tests.cluster.load import Verdict, judge
from tests.faults.conftest import Figure
from tests.nats.conftest import run_with
from tests.nats.servers import Servers
from tests.support import ServerProcess

pytestmark = pytest.mark.timeout(600)
STREAM = "bus_bus_app"


def suffer(servers: Servers, two: list[ServerProcess], fault: Fault) -> Verdict:
    """What becomes of what is published before, during and after *fault*, as each of the two tells it."""
    promises = Promises()
    with publishing(two, promises):
        promises.wait_for(200)
        run_with(servers.url, lambda client: fault(servers, client, STREAM), patience=120.0)
        promises.wait_for(200)
    first, second = (judge(promises.receipts, read_back(each)) for each in two)
    assert first == second
    return first


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_or_stored_twice(three: Servers, two: list[ServerProcess], figure: Figure, fault: str) -> None:
    verdict = suffer(three, two, FAULTS[fault])
    figure(f"two Bus servers: {fault}", verdict)
    verdict.check()


def test_a_killed_bus_server_takes_nothing_with_it(three: Servers, two: list[ServerProcess], figure: Figure) -> None:
    async def kill(servers: Servers, client: Client, stream: str) -> None:
        two[0].kill()
        await asyncio.sleep(1)
        await asyncio.to_thread(two[0].start)

    verdict = suffer(three, two, kill)
    figure("two Bus servers: one of them killed", verdict)
    verdict.check()
