"""The nodes of a cluster, from what JetStream says of each stream: who leads it, and how far the others are."""

from __future__ import annotations

from collections.abc import Iterable

from bus.nats import ServerInfo, StreamInfo
from bus.overview import ClusterNode, NodeState

SILENT_SECONDS = 5.0
"""For how long a leader has heard nothing of a node that counts as offline: NATS calls it that a minute later, and
nodes talk every second."""


class _Node:
    """What is found of one node, stream by stream."""

    def __init__(self) -> None:
        self.leads = 0
        self.copies = 0
        self.behind = 0
        self.current = True
        self.offline = False

    def described(self, name: str, connected: ServerInfo) -> ClusterNode:
        is_connected = name == connected.server_name
        return ClusterNode(
            name=name, state=self._state, connected=is_connected, version=connected.version if is_connected else "",
            leads=self.leads, copies=self.copies, behind=self.behind,
        )  # fmt: skip

    @property
    def _state(self) -> NodeState:
        if self.offline:
            return "offline"
        return "current" if self.current else "behind"


def nodes_of(connected: ServerInfo, streams: Iterable[StreamInfo]) -> list[ClusterNode]:
    """The nodes that have a copy of one of *streams*, and the *connected* one, by name.

    A stream that nobody leads has no leader among them. One of a server without a cluster is led by that.
    """
    found = {connected.server_name: _Node()}
    for stream in streams:
        leader = stream.cluster.leader if stream.cluster else connected.server_name
        if leader:
            node = found.setdefault(leader, _Node())
            node.leads += 1
            node.copies += 1
        for peer in stream.cluster.replicas if stream.cluster else ():
            node = found.setdefault(peer.name, _Node())
            node.copies += 1
            node.behind = max(node.behind, peer.lag)
            node.current &= peer.current
            node.offline |= peer.offline or stream.silence_of(peer) > SILENT_SECONDS
    return [found[name].described(name, connected) for name in sorted(found)]
