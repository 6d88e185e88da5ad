"""The seam between the log and the disk.

Everything the storage does to a disk passes through the two protocols here, so that a test can stand in
for the disk: one in memory (``memory.py``), one that forgets what was not synced, one that fails on
demand. What is asked of an implementation:

* ``write`` returns when all bytes were taken, and raises OSError otherwise;
* ``sync`` returns when content and size of the file survive a power cut;
* ``sync_directory`` returns when the names in it (created, renamed, removed) survive a power cut;
* before that, anything written may be there after a crash, or not, or in part, in any order;
* ``read`` may run in one thread while another one writes.

Errors of the operating system pass through as OSError; ``log.py`` turns them into the errors of Bus.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from bus.storage.regular_files import open_regular

Bytes = bytes | bytearray | memoryview

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The errors of a write that finds no room."""


class FileState(NamedTuple):
    """A file at some time.

    Parameters:
        size: its size in bytes.
        has_name: whether a directory still lists it: what is written to one that was removed is lost.
    """

    size: int
    has_name: bool


class File(Protocol):
    """An open file, addressed by offset: no cursor, so threads don't disturb each other."""

    def read(self, offset: int, size: int) -> bytes:
        """The *size* bytes at *offset*, fewer only where the file ends."""
        ...

    def write(self, offset: int, data: Bytes) -> None:
        """Writes all of *data* at *offset*; OSError if it can't, and then part of it may be written."""
        ...

    def truncate(self, size: int) -> None:
        """Cuts the file to *size* bytes."""
        ...

    def sync(self) -> None:
        """Makes content and size durable."""
        ...

    def size(self) -> int:
        """The size in bytes."""
        ...

    def state(self) -> FileState:
        """What there is of it now."""
        ...

    def close(self) -> None:
        """Releases the file; a second time does nothing."""
        ...


class FileSystem(Protocol):
    """The few things a log asks of a file system."""

    def open(self, path: Path, *, write: bool = False) -> File:
        """Opens an existing file; FileNotFoundError if there is none."""
        ...

    def create(self, path: Path) -> File:
        """Creates a file for reading and writing; FileExistsError if it is there."""
        ...

    def names(self, directory: Path) -> list[str]:
        """The names in *directory*, sorted; FileNotFoundError if there is no such directory."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Gives a file another name, in place of the file that had it."""
        ...

    def remove(self, path: Path) -> None:
        """Removes a file."""
        ...

    def make_directory(self, path: Path) -> None:
        """Creates a directory and its parents as far as missing; its name is durable on return."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Makes the names in a directory durable."""
        ...


class DiskFile:
    """A file on disk. The descriptor closes with the last reference, so no reader loses it midway."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: Path, flags: int) -> None:
        self._fd = -1
        self._path = path
        self._fd = open_regular(path, flags)

    def read(self, offset: int, size: int) -> bytes:
        data = os.pread(self._fd, size, offset)
        while len(data) < size and (more := os.pread(self._fd, size - len(data), offset + len(data))):
            data += more
        return data

    def write(self, offset: int, data: Bytes) -> None:
        """Writes all of *data*.

        A short write is repeated once from the start rather than continued, because what a faulty disk
        claims to have taken may not be there; only then is it continued.
        """
        size = len(data)
        done = os.pwrite(self._fd, data, offset)
        if done < size:
            done = os.pwrite(self._fd, data, offset)
        while done < size:
            done += os.pwrite(self._fd, memoryview(data)[done:], offset + done)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._fd, size)

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def state(self) -> FileState:
        found = os.fstat(self._fd)
        return FileState(found.st_size, found.st_nlink > 0)

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        with suppress(OSError):
            self.close()

    def __repr__(self) -> str:
        return f"DiskFile({str(self._path)!r}, {'closed' if self._fd < 0 else f'fd={self._fd}'})"


class DiskFiles:
    """The real file system."""

    __slots__ = ()

    def open(self, path: Path, *, write: bool = False) -> File:
        return DiskFile(path, os.O_RDWR if write else os.O_RDONLY)

    def create(self, path: Path) -> File:
        return DiskFile(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)

    def names(self, directory: Path) -> list[str]:
        return sorted(os.listdir(directory))  # noqa: PTH208 - names are wanted, not paths

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        path.unlink()

    def make_directory(self, path: Path) -> None:
        if not path.is_dir():
            self.make_directory(path.parent)
            path.mkdir(mode=0o700, exist_ok=True)
        with suppress(PermissionError):  # then it isn't ours, and its name is not ours to make durable
            self.sync_directory(path.parent)

    def sync_directory(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def __repr__(self) -> str:
        return "DiskFiles()"


DISK = DiskFiles()
