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
from bus.engine.embedded.retention import limits_in_memory, limits_on_disk
from bus.engine.embedded.subjects.file import SUBJECTS_FILE
from bus.engine.embedded.subjects.sealed import SEALED_FILE, SealedCopy
from bus.engine.embedded.subjects.store import SubjectStore
from bus.engine.embedded.subjects.table import SubjectTable
from bus.namespace import Compact, Keep
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
    compact = compact_of(name, settings)
    subjects = SubjectTable(name, store, _subject_store(directory, settings, cipher), loop)
    subjects.open()
    return LogNamespace(
        name, store, committer, duplicates,
        durability=durability, quota=quota, subjects=subjects, compact=compact, loop=loop,
    )  # fmt: skip


def _subject_store(directory: Path, settings: EngineSettings, cipher: Cipher | None) -> SubjectStore:
    """Where the log is encrypted, subjects stand in clear nowhere on the disk."""
    if cipher:
        return SubjectStore(None, sync=False, sealed=SealedCopy(directory / SEALED_FILE, cipher))
    return SubjectStore(directory / SUBJECTS_FILE, sync=settings.fsync is Fsync.ALWAYS)


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
    compact = compact_of(name, settings)
    subjects = SubjectTable(name, store, SubjectStore(None, sync=False), loop)
    subjects.open()
    return LogNamespace(
        name, store, committer, duplicates,
        durability=Durability.MEMORY, quota=quota, subjects=subjects, compact=compact, loop=loop,
    )  # fmt: skip


def keep_of(namespace: LogNamespace, settings: EngineSettings) -> Keep | None:
    """What is kept of a namespace that is open; None for everything."""
    find = limits_in_memory if namespace.is_volatile else limits_on_disk
    found = find(settings.retention, namespace.name)
    return None if found == Keep() else found


def limit(namespace: LogNamespace, settings: EngineSettings) -> None:
    """Have a namespace that is open keep within its limits in *settings*, as if it was opened with them."""
    quota = _quota_of(namespace.name, settings)
    size = limits_in_memory(settings.retention, namespace.name).size if namespace.is_volatile else None
    namespace.limit(quota=quota, segment_bytes=_segment_bytes(settings, quota, size))
    namespace.compact = compact_of(namespace.name, settings)


def _quota_of(name: str, settings: EngineSettings) -> int | None:
    """How many bytes the namespace *name* may have; None for as many as there is room for."""
    return settings.quota.get(name, settings.quota.get("*")) or None


def compact_of(name: str, settings: EngineSettings) -> Compact | None:
    """By what the namespace *name* is compacted; None if it isn't."""
    found = settings.compact.get(name, settings.compact.get("*"))
    return None if found is Compact.NONE else found


def _segment_bytes(settings: EngineSettings, *limits: int | None) -> int:
    """How large a segment may grow in a log of at most *limits* bytes."""
    parts = [max(limit // SEGMENTS, LEAST_SEGMENT) for limit in limits if limit]
    return min(settings.segment_size, *parts) if parts else settings.segment_size
