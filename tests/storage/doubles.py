"""File systems that stand in for a disk with a mind of its own."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bus.storage import File, FileSystem
from bus.storage.files import Bytes, FileState

Act = Callable[[], None]
Lie = Callable[[File, int, bytes], None]


class PowerCutError(Exception):
    """The machine stopped before this call; nothing after it happened."""


@dataclass
class FaultyFile:
    """A file of a `FaultyFiles`."""

    path: Path
    file: File
    files: FaultyFiles

    def read(self, offset: int, size: int) -> bytes:
        self.files.count("read", self.path)
        self.files.bytes_read += size
        return self.file.read(offset, size)

    def write(self, offset: int, data: Bytes) -> None:
        self.files.count("write", self.path, partly=lambda: self.file.write(offset, bytes(data)[: len(data) // 2]))
        if offset + len(data) > self.files.room:
            self.file.write(offset, bytes(data)[: max(0, self.files.room - offset)])
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        if self.files.lie:
            self.files.lie(self.file, offset, bytes(data))
        else:
            self.file.write(offset, data)

    def truncate(self, size: int) -> None:
        self.files.count("truncate", self.path)
        self.file.truncate(size)

    def sync(self) -> None:
        self.files.count("sync", self.path)
        self.file.sync()

    def size(self) -> int:
        return self.file.size()

    def state(self) -> FileState:
        return self.file.state()

    def close(self) -> None:
        self.file.close()


@dataclass
class FaultyFiles:
    """Counts the calls to another file system, and fails those it is told to.

    Parameters:
        fail: maps a call ("write", "sync", "create" …), or a call and a suffix or name ("write .idx"), to the errno it
            raises. A write that fails has written the first half.
        room: how large a file can be.
        lie: what is done in place of every write.
        before_read: what happens just before the read of a number, by ``reads``.
        stop_at: the number of the change, from 0, before which the power is cut.
        changes: the calls that change something on disk, in order.
    """

    inner: FileSystem
    fail: dict[str, int] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    reads: int = 0
    bytes_read: int = 0
    stop_at: int = -1
    room: int = 1 << 40
    lie: Lie | None = None
    before_read: dict[int, Act] = field(default_factory=dict)

    def count(self, call: str, path: Path, *, partly: Act = lambda: None) -> None:
        if call in ("read", "open"):
            self.before_read.pop(self.reads, lambda: None)()
            self.reads += 1
        else:
            if self.stop_at == len(self.changes):
                partly()
                raise PowerCutError
            self.changes.append((call, path.name))
        code = self.fail.get(call) or self.fail.get(f"{call} {path.suffix}") or self.fail.get(f"{call} {path.name}")
        if code:
            partly()
            raise OSError(code, os.strerror(code))

    def open(self, path: Path, *, write: bool = False) -> File:
        self.count("open", path)
        return FaultyFile(path, self.inner.open(path, write=write), self)

    def create(self, path: Path) -> File:
        self.count("create", path)
        return FaultyFile(path, self.inner.create(path), self)

    def names(self, directory: Path) -> list[str]:
        return self.inner.names(directory)

    def rename(self, source: Path, target: Path) -> None:
        self.count("rename", target)
        self.inner.rename(source, target)

    def remove(self, path: Path) -> None:
        self.count("remove", path)
        self.inner.remove(path)

    def make_directory(self, path: Path) -> None:
        self.inner.make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self.count("sync_directory", path)
        self.inner.sync_directory(path)


ENOSPC, EIO, EMFILE = errno.ENOSPC, errno.EIO, errno.EMFILE
