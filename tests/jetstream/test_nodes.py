"""The nodes of the cluster, as a Bus server tells of them."""

from __future__ import annotations

import time
from contextlib import suppress

import msgspec

from bus.nats import Client, NatsError
from bus.overview import ClusterNode, ServerDescription
from tests.jetstream.conftest import StartBus
from tests.nats.conftest import run_with
from tests.nats.servers import Servers
from tests.support import PATIENCE, ServerProcess, request


def _nodes(bus: ServerProcess) -> dict[str, ClusterNode]:
    found = msgspec.json.decode(request(bus, "GET", "/v1/server").body, type=ServerDescription)
    assert found.nodes is not None
    return {node.name: node for node in found.nodes}


def _wait_for_state(bus: ServerProcess, name: str, state: str) -> dict[str, ClusterNode]:
    """What is told once the node is said to be in *state*; its leaders notice in their own time.

    Nobody tells of it while those that are left elect others for what it led.
    """
    deadline = time.monotonic() + PATIENCE
    while name not in (found := _nodes(bus)) or found[name].state != state:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_one_node_leads_everything(node: Servers, start_bus: StartBus) -> None:
    (found,) = _nodes(start_bus(node)).values()
    assert (found.state, found.connected, found.leads, found.copies) == ("current", True, 3, 3)
    assert found.version == node.nodes[0].monitor("/varz")["version"]


def test_a_node_that_is_gone_is_offline_until_it_is_back(nodes: Servers, start_bus: StartBus) -> None:
    bus = start_bus(nodes)
    found = _nodes(bus)
    assert found.keys() == {"n1", "n2", "n3"}
    assert sum(node.leads for node in found.values()) == 3
    assert {node.copies for node in found.values()} == {3}
    gone = next(name for name, node in found.items() if not node.connected)
    nodes.node(gone).kill()
    _wait_for_state(bus, gone, "offline")
    nodes.node(gone).start()
    _wait_for_state(bus, gone, "current")


def test_a_node_is_offline_too_for_leaders_that_never_heard_of_it(nodes: Servers, start_bus: StartBus) -> None:
    bus = start_bus(nodes)
    gone = next(name for name, node in _nodes(bus).items() if not node.connected)
    nodes.node(gone).kill()
    _hand_over_everything(nodes)
    _wait_for_state(bus, gone, "offline")


def _hand_over_everything(nodes: Servers) -> None:
    """Every stream that has a leader gets another one, among the nodes that are left."""
    running = next(node for node in nodes.nodes if node.running)
    (account,) = running.monitor("/jsz?streams=1")["account_details"]

    async def hand_over(client: Client) -> None:
        for stream in account["stream_detail"]:
            with suppress(NatsError):
                await client.requests.ask(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream['name']}", seconds=2)

    run_with(nodes.url, hand_over)


def test_without_a_connection_no_node_is_known(nodes: Servers, start_bus: StartBus) -> None:
    bus = start_bus(nodes)
    nodes.kill()
    bus.wait_for_log("no connection to NATS")
    assert _nodes(bus) == {}
