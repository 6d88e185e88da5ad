"""Opening files of the data directory: what is there has to be a file, and nothing that leads elsewhere or waits."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path


class UnfitFileError(OSError):
    """What is at a path isn't a file of ours: a link that may lead anywhere, a directory, a pipe."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(errno.EINVAL, f"{what} stands where a file should be")
        self._line = f"{path} is {what}, not a file: put the file itself there, or move it away"

    def __str__(self) -> str:
        return self._line


_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe"}


def open_regular(path: Path, flags: int, mode: int = 0o600) -> int:
    """A descriptor of the file *path*, which is neither followed if it is a link nor waited for if it is a pipe.

    Raises `UnfitFileError` if it is anything but a file.
    """
    check_regular(path)
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise UnfitFileError(path, "something else")
    return fd


def check_regular(path: Path) -> None:
    """Raise `UnfitFileError` if *path* is there and no file."""
    with suppress(FileNotFoundError):
        kind = stat.S_IFMT(os.lstat(path).st_mode)
        if kind != stat.S_IFREG:
            raise UnfitFileError(path, _KINDS.get(kind, "a device or socket"))
