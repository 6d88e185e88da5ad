"""The power of all three nodes is cut at once under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest

from bus.nats import Client, NatsError, StreamInfo
from tests.cluster.load import STREAM, Journal, Publishing, Verdict, judge, make_stream, publishing, read_back
from tests.faults.conftest import Figure
from tests.faults.disks import LoopDisk, needs_mount
from tests.faults.rounds import rounds
from tests.nats.conftest import run_with
from tests.nats.servers import Servers

pytestmark = [needs_mount, pytest.mark.timeout(600)]
PATIENCE = 300.0
LEADER_SECONDS = 30.0
"""After which a stream without a leader counts as gone; elections take up to 8 s."""


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[LoopDisk]]:
    """One for each node."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(LoopDisk(tmp_path / f"disk{number}"))) for number in range(3)]


def cut_power(servers: Servers, disks: list[LoopDisk]) -> float:
    """Cut the power of all, and have them start on what is left; returns when it was cut."""
    when = time.monotonic()
    for disk in disks:
        disk.cut_power()
    servers.kill()
    for disk in disks:
        disk.start_again()
    servers.start()
    return when


async def suffer(servers: Servers, disks: list[LoopDisk], client: Client) -> Verdict:
    """What becomes of what was acknowledged before the cut; of a stream that is gone, nothing is left."""
    await make_stream(client)
    journal = Journal()
    async with publishing(Publishing(client, journal)):
        await journal.wait_for(100)
        when = await asyncio.to_thread(cut_power, servers, disks)
    promised = [receipt for receipt in journal.receipts if receipt.since < when]
    return judge(promised, await read_back(client) if await is_there(client) else [])


async def is_there(client: Client) -> bool:
    """Whether the stream is, by a leader that says so; a cluster that has just started may take a while for one."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LEADER_SECONDS):
            return (await leading(client)).state.last_seq > 0
    return False


async def leading(client: Client) -> StreamInfo:
    """What the leader of the stream says of it, as soon as there is one."""
    while True:
        with suppress(NatsError):
            return await client.jetstream.stream(STREAM, seconds=1)
        await asyncio.sleep(0.1)


def test_what_was_synced_is_kept(tmp_path: Path, disks: list[LoopDisk], figure: Figure) -> None:
    for number in range(rounds(short=1, full=5)):
        stores = [disk.place / f"store{number}" for disk in disks]
        with Servers(tmp_path / f"synced{number}", count=3, stores=stores) as servers:
            verdict = run_with(servers.url, partial(suffer, servers, disks), patience=PATIENCE)
        figure("cluster: power cut of all three, sync_interval always", verdict)
        verdict.check()


def test_control_what_was_not_synced_is_lost(tmp_path: Path, disks: list[LoopDisk], figure: Figure) -> None:
    """What ``sync_interval: always`` is for: a majority that has it in memory loses it with its power."""

    stores = [disk.place / "store" for disk in disks]
    with Servers(tmp_path / "unsynced", count=3, sync_interval='"2m"', stores=stores) as servers:
        verdict = run_with(servers.url, partial(suffer, servers, disks), patience=PATIENCE)
    figure("cluster: control, power cut of all three, sync_interval 2m, acknowledged and lost", verdict.lost)
    assert verdict.lost > 0
