"""File systems to do harm to: one whose power can be cut, and one that is soon full. Both need root."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mkfs.ext4"), reason="mounts a disk: needs root and mkfs.ext4 (e2fsprogs)"
)

_SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN of Linux."""
_NO_LOG_FLUSH = 2
"""Stop at once, and don't even bring the journal to disk: all that a power cut leaves is what was synced."""


class LoopDisk:
    """An ext4 file system in a file, mounted at *place*.

    Cutting its power takes away whatever only the kernel had, as on a machine whose disk keeps what it was told to.
    """

    def __init__(self, place: Path, *, megabytes: int = 256) -> None:
        self.place = place
        self._image = place.with_suffix(".img")
        place.mkdir()
        with self._image.open("wb") as image:
            image.truncate(megabytes << 20)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self._mount()

    def cut_power(self) -> None:
        """From now on nothing reaches the disk; every sync fails."""
        descriptor = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def start_again(self) -> None:
        """Mount what is on the disk. Nobody may have a file open on it."""
        _run("umount", self.place)
        self._mount()

    def close(self) -> None:
        _run("umount", "--lazy", self.place)

    def _mount(self) -> None:
        _run("mount", "-o", "loop", self._image, self.place)


class SmallDisk:
    """A file system in memory that holds *megabytes*, mounted at *place*."""

    def __init__(self, place: Path, *, megabytes: int) -> None:
        self.place = place
        self._ballast = place / "ballast"
        place.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "bus-faults", place)

    def take(self, size: int) -> None:
        """Take *size* bytes of its room."""
        self._ballast.write_bytes(bytes(size))

    def give_back(self) -> None:
        """Give that room back."""
        self._ballast.unlink()

    def close(self) -> None:
        _run("umount", "--lazy", self.place)


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, timeout=30)
