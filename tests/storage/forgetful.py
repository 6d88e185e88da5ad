"""A file system that forgets in a power cut what was not synced.

It records every change to a file or a directory since the last sync of it, and ``crash`` returns a file system in
which only some of them happened. A write may be kept in part, changes may be kept in any order; that is all that
POSIX leaves open, and more than most disks make of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bus.storage import File, MemoryFiles
from bus.storage.files import Bytes
from bus.storage.memory import MemoryFile

_SECTOR = 512


class ForgetfulFile(MemoryFile):
    """A file that knows what would be left of it after a power cut."""

    __slots__ = ("_durable", "_pending")

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data)
        self._durable = data
        self._pending: list[tuple[int, bytes | None]] = []

    def write(self, offset: int, data: Bytes) -> None:
        super().write(offset, data)
        self._pending += _sectors(offset, bytes(data))

    def truncate(self, size: int) -> None:
        super().truncate(size)
        self._pending.append((size, None))

    def sync(self) -> None:
        self._durable = self._on_disk(lambda: True)
        self._pending.clear()

    def lose(self) -> None:
        """Never writes what was not synced, but lets it be read, as Linux does after a failed sync."""
        self._pending.clear()

    def after_crash(self, keep: Callable[[], bool]) -> ForgetfulFile:
        """The file with what was synced, and of all later changes those that *keep* says."""
        return ForgetfulFile(self._on_disk(keep))

    def _on_disk(self, keep: Callable[[], bool]) -> bytes:
        disk = MemoryFile(self._durable)
        for offset, piece in filter(lambda _: keep(), self._pending):
            if piece is None:
                disk.truncate(min(offset, disk.size()))
            else:
                disk.write(offset, piece)
        return bytes(disk.data)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A change of a directory: a name that went, a name that came with its file, or both."""

    removed: Path | None
    added: Path | None
    file: MemoryFile | None

    def apply(self, names: dict[Path, MemoryFile]) -> None:
        if self.removed:
            names.pop(self.removed, None)
        if self.added and self.file:
            names[self.added] = self.file

    def is_in(self, directory: Path) -> bool:
        path = self.added or self.removed
        return path is not None and path.parent == directory


class ForgetfulFiles(MemoryFiles):
    """A file system that forgets in a crash what was not synced, names as well as contents.

    Directories themselves stay.
    """

    def __init__(self) -> None:
        super().__init__()
        self._durable: dict[Path, MemoryFile] = {}
        self._pending: list[_Entry] = []

    def create(self, path: Path) -> File:
        file = super().create(path)
        self._pending.append(_Entry(None, path, self._files[path]))
        return file

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._pending.append(_Entry(source, target, self._files[target]))

    def remove(self, path: Path) -> None:
        super().remove(path)
        self._pending.append(_Entry(path, None, None))

    def sync_directory(self, path: Path) -> None:
        for entry in [entry for entry in self._pending if entry.is_in(path)]:
            entry.apply(self._durable)
            self._pending.remove(entry)

    def lose(self) -> None:
        """Lets every file lose what was not synced, and go on as if it had not: a failed sync on Linux."""
        for file in self._files.values():
            if isinstance(file, ForgetfulFile):
                file.lose()

    def crash(self, keep: Callable[[], bool] = lambda: False) -> ForgetfulFiles:
        """What is left after a power cut now.

        Parameters:
            keep: asked for every change that was not synced (a sector written, a file cut, a name) whether
                it is there all the same; by default none is.

        Returns:
            A file system of its own; this one is not changed.
        """
        names = dict(self._durable)
        for entry in filter(lambda _: keep(), self._pending):
            entry.apply(names)
        left = ForgetfulFiles()
        for path, file in names.items():
            left._files[path] = left._durable[path] = self._crashed(file, keep)
        left._directories = set(self._directories)
        return left

    def _make(self) -> MemoryFile:
        return ForgetfulFile()

    def _crashed(self, file: MemoryFile, keep: Callable[[], bool]) -> MemoryFile:
        return file.after_crash(keep) if isinstance(file, ForgetfulFile) else file


def _sectors(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """A write cut where sectors begin, since a disk writes no less than a sector at once."""
    first = _SECTOR - offset % _SECTOR
    edges = [0, *range(first, len(data), _SECTOR), len(data)]
    return [(offset + start, data[start:end]) for start, end in pairwise(edges) if start < end]


class _NeverSyncedFile(ForgetfulFile):
    __slots__ = ()

    def sync(self) -> None:
        pass


class NeverSyncsFiles(ForgetfulFiles):
    """The control: a disk that never syncs what is in a file."""

    def _make(self) -> ForgetfulFile:
        return _NeverSyncedFile()


class NeverSyncsNames(ForgetfulFiles):
    """The control: a disk that never syncs the names in a directory."""

    def sync_directory(self, path: Path) -> None:
        pass
