"""Settings that mean nothing on JetStream: refused if they are given, with what to do instead."""

from __future__ import annotations

from collections.abc import Iterator

from bus.config import EngineSettings, Fsync, Storage
from bus.errors import ConfigError

SHORTEST_SECONDS = 0.1
"""The shortest window that JetStream remembers keys for."""

_FSYNC = "how nodes sync is said by sync_interval in the jetstream block of each nats-server"
_SEGMENTS = "nats-server cuts its files itself"


def check_settings(settings: EngineSettings) -> None:
    """Raises `ConfigError` for the first setting that can't hold."""
    for refusal in _refusals(settings):
        raise ConfigError(refusal)


def _refusals(settings: EngineSettings) -> Iterator[str]:
    if settings.secret_key:
        yield "--secret-key is for the embedded engine: set cipher and key in the jetstream block of each nats-server"
    if settings.fsync is not Fsync.ALWAYS:
        yield f"--fsync is for the embedded engine: {_FSYNC}"
    if settings.fsync_interval != 1.0:
        yield f"--fsync-interval is for the embedded engine: {_FSYNC}"
    if settings.segment_size != 64 * 1024 * 1024:
        yield f"--segment-size is for the embedded engine: {_SEGMENTS}"
    if settings.block_size != 4096:
        yield f"--block-size is for the embedded engine: {_SEGMENTS}"
    if settings.dup_size != 1000:
        yield "--dup-size is for the embedded engine: JetStream remembers keys for a time, which --dup-ttl says"
    if settings.dup_ttl is not None and settings.dup_ttl < SHORTEST_SECONDS:
        yield "--dup-ttl is 100ms at least on JetStream: give that or more, or leave it out"
    if settings.compact:
        yield "--compact is for the embedded engine: JetStream would leave holes in the indexes"
    if settings.consumer_ttl is not None:
        yield "--consumer-ttl is for the embedded engine: on JetStream consumers are kept until they are deleted"
    for name, storage in settings.namespaces.items():
        if storage is Storage.MEMORY:
            yield f"namespace {name} can't be in memory: on JetStream every namespace is replicated and on disk"
