"""Opening a namespace: its log on disk is recovered, one in memory begins empty."""

from __future__ import annotations

import logging
import time
from asyncio import AbstractEventLoop
from collections.abc import Callable
from pathlib import Path

from bus.config import EngineSettings, Fsync
from bus.engine.embedded.duplicates import Duplicates, stored_keys
from bus.engine.embedded.group_commit import MemoryCommitter, make_committer
from bus.engine.embedded.log_namespace import LogNamespace
from bus.engine.embedded.retention import limits_in_memory
from bus.storage.cipher import Cipher
from bus.storage.log import Log
from bus.storage.memory import MemoryFiles
from bus.wire import Durability

log = logging.getLogger("bus.engine")

SEGMENTS = 8
"""Of how many segments at least a full log is made whose size is limited: retention deletes one at a time."""

LEAST_SEGMENT = 64 * 1024


def open_on_disk(name: str, directory: Path, settings: EngineSettings, loop: AbstractEventLoop) -> LogNamespace:
    """The namespace whose log is in *directory*. Raises a `StorageError`."""
    cipher = Cipher(settings.secret_key, block_size=settings.block_size) if settings.secret_key else None
    always, quota = settings.fsync is Fsync.ALWAYS, _quota_of(name, settings)
    store = Log.open(directory, cipher=cipher, segment_bytes=_segment_bytes(settings, quota), preallocate=always)
    if store.torn:
        log.warning("namespace %s: %s", name, store.torn)
    for damage in store.damage:
        log.error("namespace %s: %s", name, damage)
    duplicates = Duplicates(name, size=settings.dup_size, ttl=settings.dup_ttl)
    duplicates.refill(stored_keys(store), now=time.time_ns())
    committer = make_committer(store, fsync=settings.fsync, interval=settings.fsync_interval, loop=loop)
    durability = Durability.FSYNC if always else Durability.OS
    return LogNamespace(name, store, committer, duplicates, durability=durability, quota=quota, loop=loop)


def open_in_memory(
    name: str, settings: EngineSettings, loop: AbstractEventLoop, *, grown: Callable[[], None]
) -> LogNamespace:
    """A namespace that ends with the server; *grown* is called when it has begun a segment, to delete others.

    Nothing of it reaches a disk, so nothing is encrypted.
    """
    quota, size = _quota_of(name, settings), limits_in_memory(settings.retention, name).size
    store = Log.open(Path(name), files=MemoryFiles(), segment_bytes=_segment_bytes(settings, quota, size))
    duplicates = Duplicates(name, size=settings.dup_size, ttl=settings.dup_ttl)
    committer = MemoryCommitter(store, grown)
    return LogNamespace(name, store, committer, duplicates, durability=Durability.MEMORY, quota=quota, loop=loop)


def _quota_of(name: str, settings: EngineSettings) -> int | None:
    """How many bytes the namespace *name* may have; None for as many as there is room for."""
    return settings.quota.get(name, settings.quota.get("*"))


def _segment_bytes(settings: EngineSettings, *limits: int | None) -> int:
    """How large a segment may grow in a log of at most *limits* bytes."""
    parts = [max(limit // SEGMENTS, LEAST_SEGMENT) for limit in limits if limit]
    return min(settings.segment_size, *parts) if parts else settings.segment_size
