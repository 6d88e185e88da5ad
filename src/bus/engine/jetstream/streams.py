"""The streams of namespaces: made where there are none, and checked where there are.

Never on a stream of events: a message's own time to live, single deletes, a limit for a subject, schedules. They make
holes in the middle, which an index doesn't have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from bus.config import EngineSettings
from bus.engine.jetstream.error_mapping import NO_STREAM, NOT_YET, STREAM_EXISTS
from bus.engine.jetstream.naming import Naming
from bus.errors import ConfigError
from bus.event import new_lot
from bus.namespace import Keep
from bus.nats import (
    NANOSECONDS,
    ApiError,
    JetStream,
    NotDeliveredError,
    StreamConfig,
    StreamInfo,
    UnknownOutcomeError,
)

LOT = "bus.lot"
FORMAT = "bus.format"
VERSION = "1"

KEY_SECONDS = 86_400.0
"""For how long keys are remembered if nothing else is said; one takes about 170 bytes of each node's memory."""

LEASE = 3 * NANOSECONDS
"""For how long a leader leads for certain after it has heard of a majority, with a second to spare."""

ATTEMPTS = 30
PAUSE = 0.5
"""How often a cluster that has no leader yet is asked, and the seconds between."""

T = TypeVar("T")


async def open_stream(
    jetstream: JetStream, naming: Naming, namespace: str, settings: EngineSettings, *, replicas: int
) -> StreamInfo:
    """The stream of *namespace*, made or changed as *settings* say. Raises `ConfigError` for one that isn't Bus's."""
    wanted = _config(naming, namespace, settings, replicas)
    info = await found_or_made(jetstream, wanted)
    _check(info.config)
    changed = _changed(info.config, wanted)
    return info if changed == info.config else await jetstream.update_stream(changed)


def lot_of(info: StreamInfo) -> str:
    """What ends the ids of the events of a stream."""
    return info.config.metadata[LOT]


def leads_for_certain(info: StreamInfo) -> bool:
    """Whether who told *info* has heard of a majority so lately that nobody else can lead.

    A leader that was cut off takes itself for one until it hears of the next, and tells of an end that is long past. A
    follower stands for election 4 s after it last heard of its leader, at the earliest (Raft section 5.2; nats-server,
    minElectionTimeout). One that this leader never heard of may have been told of another.
    """
    if info.cluster is None:
        return True
    followers = info.cluster.replicas
    heard = sum(0 < peer.active <= LEASE for peer in followers)
    return 2 * (heard + 1) > len(followers) + 1


async def found_or_made(jetstream: JetStream, wanted: StreamConfig) -> StreamInfo:
    """The stream, as soon as there are enough nodes: a cluster that has just been started elects its leaders first."""
    for _ in range(ATTEMPTS):
        try:
            return await _find_or_make(jetstream, wanted)
        except (NotDeliveredError, UnknownOutcomeError):
            await asyncio.sleep(PAUSE)
        except ApiError as error:
            if error.err_code not in NOT_YET:
                raise
            await asyncio.sleep(PAUSE)
    return await _find_or_make(jetstream, wanted)


async def _find_or_make(jetstream: JetStream, wanted: StreamConfig) -> StreamInfo:
    try:
        return await jetstream.stream(wanted.name)
    except ApiError as error:
        if error.err_code != NO_STREAM:
            raise
    try:
        return await jetstream.create_stream(wanted)
    except ApiError as error:
        if error.err_code != STREAM_EXISTS:
            raise
        return await jetstream.stream(wanted.name)  # another Bus server was first


def _config(naming: Naming, namespace: str, settings: EngineSettings, replicas: int) -> StreamConfig:
    keep = _setting(settings.retention, namespace) or Keep()
    quota = _setting(settings.quota, namespace)
    if keep.size is not None and quota is not None:
        raise ConfigError(f"namespace {namespace}: --retention by size and --quota can't both hold on JetStream")
    age = round((keep.age or 0) * NANOSECONDS)
    window = round((settings.dup_ttl or KEY_SECONDS) * NANOSECONDS)
    return StreamConfig(
        name=naming.stream(namespace),
        subjects=naming.everything(namespace),
        description=f"Namespace {namespace} of Bus: nobody else may publish to it.",
        num_replicas=replicas,
        max_age=age,
        max_bytes=keep.size or quota or -1,
        max_msgs=keep.events or -1,
        discard="new" if quota else "old",
        duplicate_window=min(window, age) if age else window,
        allow_direct=True,
        allow_atomic=True,
        deny_delete=True,
        metadata={LOT: new_lot(), FORMAT: VERSION},
    )


def _setting(of: Mapping[str, T], namespace: str) -> T | None:
    return of.get(namespace, of.get("*"))


def _check(config: StreamConfig) -> None:
    """Raises `ConfigError` for a stream that isn't Bus's, or is of a version that this Bus doesn't know."""
    version = config.metadata.get(FORMAT)
    if LOT not in config.metadata or version is None:
        raise ConfigError(f"stream {config.name} isn't one of Bus: choose another path in --engine, or delete it")
    if version != VERSION:
        raise ConfigError(f"stream {config.name} is of format {version}, and this Bus knows {VERSION}: use a newer one")
    if not (config.allow_direct and config.allow_atomic):
        raise ConfigError(f"stream {config.name} was changed: set allow_direct and allow_atomic")


def _changed(found: StreamConfig, wanted: StreamConfig) -> StreamConfig:
    """*found* with what *wanted* says of retention; its replicas and its lot stay, which aren't told at each start."""
    return msgspec.structs.replace(
        found, subjects=wanted.subjects, max_age=wanted.max_age, max_bytes=wanted.max_bytes,
        max_msgs=wanted.max_msgs, discard=wanted.discard, duplicate_window=wanted.duplicate_window,
    )  # fmt: skip
