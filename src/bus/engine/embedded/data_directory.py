"""The data directory: where everything is, and the lock that gives it to one server.

data/
├── lock                 held by the server that serves the directory
├── consumers.db         positions of durable consumers
├── namespaces.table     namespaces that were made or changed while a server ran, if any were
├── sessions.key         seals the sessions of web pages, if there are tokens
└── orders/              one log per namespace
    ├── 00000000000000000001.log
    ├── 00000000000000000001.idx
    ├── compacted.json   how far it is compacted, if it is: derived
    ├── schedules.db     its events that aren't due yet, if there ever were any
    └── subjects.db      its subjects: derived; subjects.sealed, if the log is encrypted
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bus.config import EngineSettings
from bus.errors import DirectoryLockedError, LogFailedError, StorageError
from bus.namespace import Storage
from bus.storage.files import DISK
from bus.storage.regular_files import UnfitFileError, open_regular
from bus.subject import check_namespaces


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Where things are below *path*."""

    path: Path

    @property
    def consumers(self) -> Path:
        return self.path / "consumers.db"

    @property
    def table(self) -> Path:
        return self.path / "namespaces.table"

    def log(self, namespace: str) -> Path:
        return self.path / namespace

    def schedules(self, namespace: str) -> Path:
        return self.path / namespace / "schedules.db"

    def namespaces(self) -> list[str]:
        """Namespaces that have a log here, declared or not."""
        return sorted(found.name for found in self.path.iterdir() if found.is_dir())

    def remove_log(self, namespace: str) -> None:
        """Remove the directory of a namespace with all that is in it, for good, if it is there.

        One that is elsewhere, behind a link, is removed there, and the link. Raises `StorageError`.
        """
        directory = self.log(namespace)
        try:
            if directory.is_symlink():
                _remove(directory.resolve())
                directory.unlink()
            _remove(directory)
            DISK.sync_directory(self.path)
        except OSError as error:
            raise StorageError(f"{directory} can't be removed: {(error.strerror or str(error)).lower()}") from error

    def make(self) -> None:
        """Create the directory, every level of it for good. Raises `StorageError` if that can't be done."""
        try:
            DISK.make_directory(self.path)
        except OSError as error:
            raise StorageError(f"data directory {self.path} can't be made: {error.strerror}") from None

    def lock(self) -> DirectoryLock:
        """Take the directory for this process. Raises `DirectoryLockedError` naming who has it."""
        return DirectoryLock(self.path)


def directory_for(settings: EngineSettings) -> DataDirectory | None:
    """The data directory, None for a server that needs none: all its namespaces are in memory, and none were made.

    Raises `ConfigError` if none are declared, and there is no table that may have some.
    """
    directory = DataDirectory(settings.path)
    has_table = directory.table.exists()
    if not settings.namespaces and not has_table:
        check_namespaces(())
    return directory if has_table or Storage.DISK in settings.namespaces.values() else None


class DirectoryLock:
    """The lock on a data directory; the kernel releases it when the process ends, however it ends.

    A directory may be removed, replaced or made read-only under a running server, which would go on writing into
    files that nobody finds again: *watched* are the directories that have to stay where they are.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watched: dict[Path, _Identity] = {}
        file = path / "lock"
        try:
            self._fd = open_regular(file, os.O_RDWR | os.O_CREAT, 0o644)
        except UnfitFileError as error:
            raise StorageError(f"{error}; the server makes its own lock") from None
        except OSError as error:
            raise StorageError(f"data directory {path} can't be written: {error.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = _read_owner(self._fd)
            os.close(self._fd)
            raise DirectoryLockedError(
                f"data directory {path} is in use by process {owner}: stop that server or choose another --path"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        self._watched[file] = _identity(os.fstat(self._fd))

    def watch(self, directory: Path) -> None:
        """Have *directory* looked at as well."""
        self._watched[directory] = _identity(directory.stat())

    def let_go(self, directory: Path) -> None:
        """Look at *directory* no more."""
        self._watched.pop(directory, None)

    def check(self) -> StorageError | None:
        """What has become of the directory, None if all is where it was: a few system calls."""
        for path, identity in self._watched.items():
            try:
                found = _identity(path.stat())
            except OSError as error:
                return self._lost(f"{path} is gone ({(error.strerror or '').lower()})")
            if found != identity:
                return self._lost(f"{path} was replaced by another")
        if os.statvfs(self._path).f_flag & os.ST_RDONLY:
            return StorageError(f"data directory {self._path} is mounted read-only: mount it for writing")
        return None

    def _lost(self, what: str) -> LogFailedError:
        return LogFailedError(f"{what} while the server used it: no more events are taken; put it back, then restart")

    def release(self) -> None:
        os.close(self._fd)


def _remove(directory: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(directory)
    if directory.parent.is_dir():
        DISK.sync_directory(directory.parent)


_Identity = tuple[int, int]


def _identity(about: os.stat_result) -> _Identity:
    return about.st_dev, about.st_ino


def _read_owner(fd: int) -> str:
    """The process that a lock names; another program may have written into it."""
    text = os.pread(fd, 20, 0).strip()
    return text.decode() if text.isdigit() else "unknown"
