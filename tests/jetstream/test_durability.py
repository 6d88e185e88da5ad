"""What a receipt says is true: verified at the nodes, or claimed, and said so."""

from __future__ import annotations

from pathlib import Path

from tests.jetstream.conftest import StartBus
from tests.nats.servers import Servers
from tests.support import Answer, request, run_bus

EVENT = b'{"subject": "app.a", "payload": 1}'


def _durability(answered: Answer) -> str:
    return answered.headers["x-bus-durability"]


def test_one_node_promises_what_one_disk_does(node: Servers, start_bus: StartBus) -> None:
    monitors = f"127.0.0.1:{node.nodes[0].monitor_port}"
    assert _durability(request(start_bus(node), "POST", "/", EVENT)) == "os"
    assert _durability(request(start_bus(node, "--engine-monitors", monitors), "POST", "/", EVENT)) == "fsync"


def test_a_claim_is_said_to_be_one(nodes: Servers, start_bus: StartBus) -> None:
    assert _durability(request(start_bus(nodes), "POST", "/", EVENT)) == "replicated"
    claiming = start_bus(nodes, "--engine-synced")
    assert _durability(request(claiming, "POST", "/", EVENT)) == "replicated-fsync"
    assert "nobody has verified it" in claiming.log


def test_nodes_that_do_not_sync_are_found_out(tmp_path: Path) -> None:
    with Servers(tmp_path, sync_interval="2m") as lazy:
        monitors = f"127.0.0.1:{lazy.nodes[0].monitor_port}"
        engine = ["--engine", lazy.url, "--engine-monitors", monitors]
        ended = run_bus("server", "--addr", "127.0.0.1:0", "--namespaces", "app", *engine)
    assert (ended.returncode, b"sync_interval: always" in ended.stderr) == (1, True), ended.stderr
