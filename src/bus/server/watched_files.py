"""Files that are read anew when they have changed; to see that, they needn't be read."""

from __future__ import annotations

from pathlib import Path

Signature = tuple[int, ...]
"""What tells one state of a file from another; empty if there is no such file."""


class WatchedFiles:
    """Tells whether any of the files at *paths* is another than it was."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._look()

    def have_changed(self) -> bool:
        """Whether they have since this was asked last.

        Ask before they are read: what changes while they are is noticed the next time.
        """
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _look(self) -> tuple[Signature, ...]:
        return tuple(map(_signature, self._paths))

    def __repr__(self) -> str:
        return f"<WatchedFiles {', '.join(map(str, self._paths))}>"


def _signature(path: Path) -> Signature:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mode, found.st_mtime_ns, found.st_ctime_ns
