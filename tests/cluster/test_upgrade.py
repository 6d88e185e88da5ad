"""Nodes are upgraded one after the other under load, and nobody notices more than an election."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bus.nats import Client
from tests.cluster.test_bus import suffer
from tests.faults.conftest import Figure
from tests.nats.servers import PROGRAM, Servers
from tests.support import ServerProcess

OLDER = Path(sys.prefix) / "nats-2.12" / "bin" / "nats-server"
"""The oldest that Bus takes; `make cluster` gets it."""

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not OLDER.exists(), reason="there is no nats-server 2.12: make cluster gets it"),
]


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Servers]:
    """A cluster of the older version."""
    with Servers(tmp_path / "nats", count=3, programs=[OLDER] * 3) as servers:
        yield servers


async def upgrade(servers: Servers, client: Client, stream: str, *, program: Path) -> None:
    for node in servers.nodes:
        node.stop()
        node.start(program=program)
        await asyncio.to_thread(servers.wait_healthy)


def test_an_upgrade_of_one_node_after_the_other_loses_nothing(
    three: Servers, two: list[ServerProcess], figure: Figure
) -> None:
    before = {node.monitor("/varz")["version"] for node in three.nodes}
    verdict = suffer(three, two, partial(upgrade, program=PROGRAM))
    after = {node.monitor("/varz")["version"] for node in three.nodes}
    figure(f"two Bus servers: nats-server {min(before)} becomes {min(after)}", verdict)
    verdict.check()
    assert (before, len(after)) == ({"2.12.8"}, 1) and before != after
