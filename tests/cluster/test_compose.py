"""What docker-compose.cluster.yml describes works, and goes on when a Bus server or a node dies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bus import Client
from tests.cluster.compose import Deployment
from tests.cluster.http_load import Promises, publishing
from tests.cluster.load import Number, Stored, judge
from tests.faults.conftest import Figure
from tests.support import PATIENCE

pytestmark = pytest.mark.timeout(300)
NAMESPACE = "orders"


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with closing(Deployment(tmp_path)) as deployment:
        deployment.start()
        yield deployment


class Follower:
    """Reads everything through the proxy by the SDK, from before the first event on."""

    def __init__(self, deployment: Deployment) -> None:
        self.found: list[Stored] = []
        self._client = Client(f"http://127.0.0.1:{deployment.port}")
        self._changed = threading.Condition()
        threading.Thread(target=self._follow, daemon=True).start()

    def wait_for(self, index: int) -> list[Stored]:
        """What there was up to the event at *index*, and beyond."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.found and self.found[-1].seq >= index, 3 * PATIENCE), self.found[
                -1:
            ]
            return list(self.found)

    def _follow(self) -> None:
        for event in self._client.get(f"{NAMESPACE}.cluster.*", start="oldest"):
            with self._changed:
                self.found.append(Stored(Number(**event.payload), event.index))
                self._changed.notify_all()


def test_what_is_stored_is_synced_on_three_nodes(deployment: Deployment) -> None:
    assert deployment.durability() == "replicated-fsync"


@pytest.mark.parametrize("victim", ["bus1", "n1"])
def test_clients_go_on_when_one_of_them_is_killed(deployment: Deployment, figure: Figure, victim: str) -> None:
    promises, follower = Promises(), Follower(deployment)
    with publishing([deployment], promises, namespace=NAMESPACE):
        promises.wait_for(200)
        deployment.kill(victim)
        promises.wait_for(200)
        deployment.start_one(victim)
        promises.wait_for(200)
    verdict = judge(promises.receipts, follower.wait_for(max(receipt.seq for receipt in promises.receipts)))
    figure(f"compose: {victim} is killed, clients behind HAProxy", verdict)
    verdict.check()
