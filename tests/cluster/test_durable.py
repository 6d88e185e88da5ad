"""One durable consumer at two Bus servers: each event is acknowledged or dead, whatever happens to any process."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bus.nats import Client, ConsumerInfo
from tests.cluster.durable_load import NAME, Outcome, Work, judge, publish, wait_until_settled, working
from tests.cluster.faults import CHOSEN, FAULTS, Fault
from tests.faults.conftest import Figure
from tests.faults.rounds import rounds
from tests.nats.conftest import run_with
from tests.nats.servers import Servers
from tests.support import ServerProcess

pytestmark = pytest.mark.timeout(600)
STREAM = "bus_bus_app"
EVENTS = rounds(short=1000, full=5000)
PATIENCE = 90.0


async def shared(client: Client) -> ConsumerInfo:
    """The consumer of JetStream, as soon as there is one."""
    while True:
        for info in await client.jetstream.consumers(STREAM):
            if info.name.startswith(f"{NAME}="):
                return info
        await asyncio.sleep(0.05)


async def kill_consumers_leader(servers: Servers, client: Client, stream: str) -> None:
    """The node that knows who has what is killed."""
    cluster = (await shared(client)).cluster
    assert cluster
    servers.node(cluster.leader).kill()
    await asyncio.sleep(1)
    await asyncio.to_thread(servers.start)


def suffer(servers: Servers, two: list[ServerProcess], fault: Fault, *, seconds: float = PATIENCE) -> Outcome:
    """What becomes of the events when *fault* happens while they are worked off."""
    work = Work(EVENTS)
    publish(two[0], EVENTS)
    with working(two, work):
        work.wait_for(EVENTS // 10)
        run_with(servers.url, lambda client: fault(servers, client, STREAM), patience=120.0)
        wait_until_settled(two[1], seconds=seconds)
    return judge(two[1], work)


FAULTS_HERE = {name: FAULTS[name] for name in CHOSEN} | {"the consumer's leader killed": kill_consumers_leader}


@pytest.mark.parametrize("fault", FAULTS_HERE)
def test_each_event_is_acknowledged_or_dead(
    three: Servers, two: list[ServerProcess], figure: Figure, fault: str
) -> None:
    outcome = suffer(three, two, FAULTS_HERE[fault])
    figure(f"one durable consumer at two Bus servers: {fault}", outcome)
    outcome.check()


def test_a_bus_server_and_the_leader_are_killed(three: Servers, two: list[ServerProcess], figure: Figure) -> None:
    async def kill(servers: Servers, client: Client, stream: str) -> None:
        two[0].kill()
        await kill_consumers_leader(servers, client, stream)
        await asyncio.to_thread(two[0].start)

    outcome = suffer(three, two, kill)
    figure("one durable consumer: a Bus server and the consumer's leader killed", outcome)
    outcome.check()


def test_control_what_jetstream_counts_out_is_neither(three: Servers, two: list[ServerProcess], figure: Figure) -> None:
    """Why Bus counts attempts itself: past MaxDeliver an event is gone, and nobody is told."""

    async def limit_and_kill(servers: Servers, client: Client, stream: str) -> None:
        config = msgspec.structs.replace((await shared(client)).config, max_deliver=1)
        await client.jetstream.create_consumer(stream, config, action="update")
        await asyncio.to_thread(two[0].kill)

    outcome = suffer(three, two, limit_and_kill, seconds=30)
    figure("one durable consumer: control, MaxDeliver, neither acknowledged nor dead", outcome.neither)
    assert outcome.neither > 0
