"""What a server tells of itself: its counts, its settings and its log, and what whoever asks may do."""

from __future__ import annotations

from typing import Literal

import msgspec

NodeState = Literal["current", "behind", "offline"]


class ServerCounts(msgspec.Struct, frozen=True):
    """A server as a whole, at one moment.

    Attributes:
        uptime: seconds since it started.
        connections: how many it holds.
        streams: how many of these are streams.
        body_memory: bytes of bodies that are coming in, and of receipts that nobody has taken yet.
        inboxes: how many inboxes there are in memory.
        inbox_bytes: what the replies in them take.
        memory: bytes of memory that the process has.
        sync_p50: seconds that half of the last syncs took at most; nothing if there was none.
        sync_p99: seconds that 99 of 100 of them took at most.
    """

    uptime: float
    connections: int
    streams: int
    body_memory: int
    inboxes: int
    inbox_bytes: int
    memory: int
    sync_p50: float | None
    sync_p99: float | None


class GrantedRights(msgspec.Struct, frozen=True):
    """What somebody may do.

    Attributes:
        admin: whether that is everything.
        publish: patterns of subjects it may publish to.
        subscribe: patterns of subjects it may read.
        consumers: names of durable consumers it may use; ``*`` stands for any characters.
        manage: durable consumers it may manage, by their names, and the patterns within which it manages.
        reply: whether it may answer what it was delivered.
        metrics: whether it may read the metrics, and what is told of the server.
    """

    admin: bool
    publish: list[str]
    subscribe: list[str]
    consumers: list[str]
    manage: list[str]
    reply: bool
    metrics: bool


class LogLine(msgspec.Struct, frozen=True):
    """A line of a server's log.

    Attributes:
        time: when it was written, RFC 3339.
        level: ``INFO``, ``WARNING`` or ``ERROR``.
        logger: which part of the server wrote it.
        message: what it says.
    """

    time: str
    level: str
    logger: str
    message: str


class ClusterNode(msgspec.Struct, frozen=True):
    """A machine of the cluster that keeps the events, as its leaders see it.

    Attributes:
        name: what it calls itself.
        state: ``current``, ``behind`` while it copies what it has missed, or ``offline``.
        connected: whether it is the one that this server talks to.
        version: what it runs; known of the one that is connected.
        leads: of how many namespaces it orders the events.
        copies: of how many it has a copy.
        behind: how many changes a copy of it lacks at most.
    """

    name: str
    state: NodeState
    connected: bool
    version: str
    leads: int
    copies: int
    behind: int


class ServerDescription(msgspec.Struct, frozen=True, omit_defaults=True):
    """A server, as far as whoever asks may know of it.

    Attributes:
        who: the name by which the server knows whoever asks.
        may: what that one may do.
        read_only: why pages of the server's own origin change nothing for that one, in a line; empty if they may.
        version: the server's; like all below there with ``metrics`` among the rights.
        compiled: whether the modules that events pass are compiled.
        python: the version of Python that it runs on.
        uvloop: the version of its event loop.
        engine: what stores and delivers.
        started_at: when it started, RFC 3339.
        counts: how much there is of what at this moment.
        nodes: the machines that keep the events, of an engine that has others keep them; none while it reaches none.
        settings: what it was told, by the names of its flags, without secrets; there for an admin.
        log: the last lines of its log, of level INFO or above, without requests; there for an admin.
    """

    who: str
    may: GrantedRights
    read_only: str = ""
    version: str = ""
    compiled: bool | None = None
    python: str = ""
    uvloop: str = ""
    engine: str = ""
    started_at: str = ""
    counts: ServerCounts | None = None
    nodes: list[ClusterNode] | None = None
    settings: dict[str, str] | None = None
    log: list[LogLine] | None = None
