"""What JetStream is told and tells of streams and consumers, as it stands in its JSON: durations in nanoseconds.

Source: NATS documentation, "JetStream wire API", and the schemas in https://github.com/nats-io/jsm.go.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

NANOSECONDS = 1_000_000_000
"""In a second."""


class Placement(Struct, frozen=True, omit_defaults=True):
    """Where a stream is to be."""

    cluster: str = ""
    tags: tuple[str, ...] = ()
    preferred: str = ""


class StreamConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A stream as it is to be."""

    name: str
    subjects: tuple[str, ...] = ()
    description: str = ""
    retention: Literal["limits", "interest", "workqueue"] = "limits"
    storage: Literal["file", "memory"] = "file"
    num_replicas: int = 1
    max_age: int = 0
    max_bytes: int = -1
    max_msgs: int = -1
    max_msgs_per_subject: int = -1
    max_msg_size: int = -1
    max_consumers: int = -1
    discard: Literal["old", "new"] = "old"
    discard_new_per_subject: bool = False
    duplicate_window: int = 0
    compression: Literal["none", "s2"] = "none"
    no_ack: bool = False
    first_seq: int = 0
    allow_direct: bool = False
    allow_atomic: bool = False
    allow_rollup_hdrs: bool = False
    allow_msg_ttl: bool = False
    allow_msg_schedules: bool = False
    allow_msg_counter: bool = False
    deny_delete: bool = False
    deny_purge: bool = False
    placement: Placement | None = None
    metadata: dict[str, str] = {}


class PeerInfo(Struct, frozen=True):
    """A replica that follows the leader.

    *active* is nanoseconds since its leader heard of it, 0 if this leader never has; *lag* operations behind.
    """

    name: str = ""
    current: bool = False
    offline: bool = False
    active: int = 0
    lag: int = 0


class ClusterInfo(Struct, frozen=True):
    """Who leads a stream or consumer, and who follows."""

    name: str = ""
    leader: str = ""
    leader_since: datetime | None = None
    replicas: tuple[PeerInfo, ...] = ()


class StreamState(Struct, frozen=True):
    """What a stream holds. *last_seq* is 0 if there never was a message."""

    messages: int = 0
    bytes: int = 0
    first_seq: int = 0
    last_seq: int = 0
    first_ts: str = ""
    last_ts: str = ""
    consumer_count: int = 0
    num_subjects: int = 0
    num_deleted: int = 0
    subjects: dict[str, int] | None = None


class StreamInfo(Struct, frozen=True):
    """A stream as it is, at *ts* by its leader's clock."""

    config: StreamConfig
    state: StreamState
    created: str = ""
    cluster: ClusterInfo | None = None
    ts: datetime | None = None

    def silence_of(self, peer: PeerInfo) -> float:
        """For how many seconds the leader has heard nothing of *peer*: of one it never heard of, since it leads."""
        since = self.cluster.leader_since if self.cluster else None
        if peer.active or peer.current or since is None or self.ts is None:
            return peer.active / NANOSECONDS
        return (self.ts - since).total_seconds()


class ConsumerConfig(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A consumer as it is to be: a pull consumer without *deliver_subject*, durable with *durable_name*."""

    name: str = ""
    durable_name: str = ""
    description: str = ""
    deliver_policy: Literal["", "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"] = ""
    opt_start_seq: int = 0
    opt_start_time: str | None = None
    ack_policy: Literal["", "none", "all", "explicit"] = ""
    ack_wait: int = 0
    max_deliver: int = 0
    max_ack_pending: int = 0
    max_waiting: int = 0
    filter_subject: str = ""
    filter_subjects: tuple[str, ...] = ()
    replay_policy: Literal["instant", "original"] = "instant"
    deliver_subject: str = ""
    deliver_group: str = ""
    flow_control: bool = False
    idle_heartbeat: int = 0
    headers_only: bool = False
    inactive_threshold: int = 0
    num_replicas: int = 0
    mem_storage: bool = False
    priority_groups: tuple[str, ...] = ()
    priority_policy: str = ""
    priority_timeout: int = 0
    pause_until: str | None = None
    metadata: dict[str, str] = {}


class SequencePair(Struct, frozen=True):
    """A place in a consumer, and in its stream."""

    consumer_seq: int = 0
    stream_seq: int = 0


class ConsumerInfo(Struct, frozen=True):
    """A consumer as it is."""

    name: str
    stream_name: str
    config: ConsumerConfig
    delivered: SequencePair
    ack_floor: SequencePair
    num_ack_pending: int = 0
    num_redelivered: int = 0
    num_waiting: int = 0
    num_pending: int = 0
    created: str = ""
    push_bound: bool = False
    paused: bool = False
    cluster: ClusterInfo | None = None


class AccountInfo(Struct, frozen=True):
    """What an account uses."""

    memory: int = 0
    storage: int = 0
    streams: int = 0
    consumers: int = 0


class PubAck(Struct, frozen=True):
    """A message is stored: at *seq*, or it was before if it is a *duplicate*. A batch has its *count* of messages."""

    stream: str
    seq: int
    duplicate: bool = False
    domain: str = ""
    batch: str = ""
    count: int = 0
