"""The data directory: where everything is, and the lock that gives it to one server.

data/
├── lock                 held by the server that serves the directory
├── consumers.db         positions of durable consumers
└── orders/              one log per namespace
    ├── 00000000000000000001.log
    └── 00000000000000000001.idx
"""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from bus.errors import DirectoryLockedError, StorageError
from bus.storage.files import DISK


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Where things are below *path*."""

    path: Path

    @property
    def consumers(self) -> Path:
        return self.path / "consumers.db"

    def log(self, namespace: str) -> Path:
        return self.path / namespace

    def namespaces(self) -> list[str]:
        """Namespaces that have a log here, declared or not."""
        return sorted(found.name for found in self.path.iterdir() if found.is_dir())

    def make(self) -> None:
        """Create the directory, every level of it for good. Raises `StorageError` if that can't be done."""
        try:
            DISK.make_directory(self.path)
        except OSError as error:
            raise StorageError(f"data directory {self.path} can't be made: {error.strerror}") from None

    def lock(self) -> DirectoryLock:
        """Take the directory for this process. Raises `DirectoryLockedError` naming who has it."""
        return DirectoryLock(self.path)


class DirectoryLock:
    """The lock on a data directory; the kernel lets go of it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        file = path / "lock"
        try:
            self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(f"data directory {path} can't be written: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._fd, 20, 0).decode().strip() or "unknown"
            os.close(self._fd)
            raise DirectoryLockedError(
                f"data directory {path} is in use by process {owner}: stop that server or choose another --path"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._fd)
