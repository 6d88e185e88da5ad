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

SEGMENTS_IN_MEMORY = 8
"""Of how many segments a full log in memory is made: retention deletes one at a time."""

LEAST_SEGMENT = 64 * 1024


def open_on_disk(name: str, directory: Path, settings: EngineSettings, loop: AbstractEventLoop) -> LogNamespace:
    """The namespace whose log is in *directory*. Raises a `StorageError`."""
    cipher = Cipher(settings.secret_key, block_size=settings.block_size) if settings.secret_key else None
    always = settings.fsync is Fsync.ALWAYS
    store = Log.open(directory, cipher=cipher, segment_bytes=settings.segment_size, preallocate=always)
    if store.torn:
        log.warning("namespace %s: %s", name, store.torn)
    for damage in store.damage:
        log.error("namespace %s: %s", name, damage)
    duplicates = Duplicates(name, size=settings.dup_size, ttl=settings.dup_ttl)
    duplicates.refill(stored_keys(store), now=time.time_ns())
    committer = make_committer(store, fsync=settings.fsync, interval=settings.fsync_interval, loop=loop)
    durability = Durability.FSYNC if always else Durability.OS
    return LogNamespace(name, store, committer, duplicates, durability=durability, loop=loop)


def open_in_memory(
    name: str, settings: EngineSettings, loop: AbstractEventLoop, *, grown: Callable[[], None]
) -> LogNamespace:
    """A namespace that ends with the server; *grown* is called when it has begun a segment, to delete others.

    Nothing of it reaches a disk, so nothing is encrypted.
    """
    size = limits_in_memory(settings.retention, name).size or 0
    segment = min(settings.segment_size, max(size // SEGMENTS_IN_MEMORY, LEAST_SEGMENT))
    store = Log.open(Path(name), files=MemoryFiles(), segment_bytes=segment)
    duplicates = Duplicates(name, size=settings.dup_size, ttl=settings.dup_ttl)
    committer = MemoryCommitter(store, grown)
    return LogNamespace(name, store, committer, duplicates, durability=Durability.MEMORY, loop=loop)
