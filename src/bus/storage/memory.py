"""A file system in memory: for a log that nobody needs once its process has ended."""

from __future__ import annotations

from pathlib import Path

from bus.storage.files import Bytes, File, FileState


class MemoryFile:
    """The content of a file, shared by all who have it open."""

    __slots__ = ("data",)

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def write(self, offset: int, data: Bytes) -> None:
        if offset > len(self.data):
            self.data.extend(bytes(offset - len(self.data)))
        self.data[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def sync(self) -> None:
        pass

    def size(self) -> int:
        return len(self.data)

    def state(self) -> FileState:
        return FileState(len(self.data), has_name=True)

    def close(self) -> None:
        pass

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.data)} bytes)"


class MemoryFiles:
    """A file system in memory."""

    def __init__(self) -> None:
        self._files: dict[Path, MemoryFile] = {}
        self._directories: set[Path] = set()

    def open(self, path: Path, *, write: bool = False) -> File:
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(f"no file {path}") from None

    def create(self, path: Path) -> File:
        if path in self._files:
            raise FileExistsError(f"there is a file {path}")
        self._files[path] = file = self._make()
        return file

    def names(self, directory: Path) -> list[str]:
        if directory not in self._directories:
            raise FileNotFoundError(f"no directory {directory}")
        return sorted(path.name for path in list(self._files) if path.parent == directory)

    def rename(self, source: Path, target: Path) -> None:
        self._files[target] = self._files.pop(source)

    def remove(self, path: Path) -> None:
        if self._files.pop(path, None) is None:
            raise FileNotFoundError(f"no file {path}")

    def make_directory(self, path: Path) -> None:
        self._directories.update((path, *path.parents))

    def sync_directory(self, path: Path) -> None:
        pass

    def _make(self) -> MemoryFile:
        return MemoryFile()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._files)} files)"
