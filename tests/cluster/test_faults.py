"""What is acknowledged is kept, once, in its place and in order, whatever happens to the servers."""

from __future__ import annotations

import pytest

from bus.nats import Client
from tests.cluster.faults import CHOSEN, FAULTS, freeze_leader
from tests.cluster.load import STREAM, Journal, Publishing, Verdict, judge, make_stream, publishing, read_back
from tests.faults.conftest import Figure
from tests.faults.rounds import rounds
from tests.nats.conftest import run_with
from tests.nats.servers import Servers

pytestmark = pytest.mark.timeout(600)
PATIENCE = 300.0


async def suffer(servers: Servers, client: Client, fault: str) -> Verdict:
    """What becomes of what is published before, during and after *fault*."""
    await make_stream(client)
    journal = Journal()
    async with publishing(Publishing(client, journal)):
        for _ in range(rounds(short=1, full=5)):
            await FAULTS[fault](servers, client, STREAM)
            await journal.wait_for(20)
    return judge(journal.receipts, await read_back(client))


@pytest.mark.parametrize("fault", CHOSEN)
def test_nothing_is_lost_or_stored_twice(three: Servers, figure: Figure, fault: str) -> None:
    verdict = run_with(three.url, lambda client: suffer(three, client, fault), patience=PATIENCE)
    figure(f"cluster: {fault}", verdict)
    verdict.check()


def test_control_without_message_ids_messages_are_stored_twice(three: Servers, figure: Figure) -> None:
    """What the id is for: a frozen leader stores what it was sent, and so does who is asked in its place."""

    async def check(client: Client) -> Verdict:
        await make_stream(client)
        journal = Journal()
        async with publishing(Publishing(client, journal, ids=False, seconds=0.3)):
            await freeze_leader(three, client, STREAM, seconds=2.0)
            await journal.wait_for(5)
        return judge(journal.receipts, await read_back(client))

    verdict = run_with(three.url, check, patience=PATIENCE, beat=60.0)
    figure("cluster: control without message ids", verdict)
    assert verdict.duplicated > 0
    assert verdict.lost == 0
