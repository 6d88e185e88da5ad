"""What is made of what leaders say of the nodes that follow them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bus.engine.jetstream.nodes import nodes_of
from bus.nats import NANOSECONDS, ClusterInfo, PeerInfo, ServerInfo, StreamConfig, StreamInfo, StreamState
from bus.overview import NodeState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATELY, LONG_AGO, NEVER = NANOSECONDS, 6 * NANOSECONDS, 0


def _state_of(follower: PeerInfo, *, led_for: timedelta) -> NodeState:
    cluster = ClusterInfo(leader="n1", leader_since=NOW - led_for, replicas=(follower,))
    stream = StreamInfo(StreamConfig(name="s"), StreamState(), cluster=cluster, ts=NOW)
    found = {node.name: node for node in nodes_of(ServerInfo(server_name="n1"), [stream])}
    return found[follower.name].state


@pytest.mark.parametrize(
    ("follower", "led_for", "state"),
    [
        (PeerInfo("n2", current=True, active=LATELY), 60, "current"),
        (PeerInfo("n2", active=LATELY, lag=5), 60, "behind"),
        (PeerInfo("n2", current=True, active=LONG_AGO), 60, "offline"),
        (PeerInfo("n2", offline=True, active=LATELY), 60, "offline"),
        (PeerInfo("n2", active=NEVER, lag=5), 4, "behind"),
        (PeerInfo("n2", active=NEVER, lag=5), 6, "offline"),
        (PeerInfo("n2", current=True, active=NEVER), 60, "current"),
    ],
)
def test_a_node_is_offline_when_its_leader_has_heard_nothing_of_it(
    follower: PeerInfo, led_for: float, state: NodeState
) -> None:
    assert _state_of(follower, led_for=timedelta(seconds=led_for)) == state
