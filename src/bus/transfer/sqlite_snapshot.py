"""A SQLite file as it is now, also while a server writes it.

The server has the file locked for SQLite, so SQLite can't be asked: the file and its write-ahead log are copied.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from bus.storage.regular_files import check_regular

_WAL_HEADER = 32


@contextmanager
def snapshot(file: Path) -> Iterator[Path]:
    """A copy of *file*, which ends with the block. Raises `UnfitFileError` if what is there isn't a file."""
    for name in (file, wal_of(file)):
        check_regular(name)
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / file.name
        while not _copied(file, copy):
            pass
        yield copy


def wal_of(file: Path) -> Path:
    """Where SQLite has the write-ahead log of *file*."""
    return file.with_name(f"{file.name}-wal")


def _copied(file: Path, copy: Path) -> bool:
    """Copy both; False if they changed in between.

    Commits go to the end of the log, which does no harm; only moving them into the file does, and then the file's
    time or the log's header changes.
    """
    before = _mark(file)
    shutil.copyfile(file, copy)
    wal_of(copy).unlink(missing_ok=True)
    if wal_of(file).exists():
        with suppress(FileNotFoundError):  # the server was stopped just now
            shutil.copyfile(wal_of(file), wal_of(copy))
    return _mark(file) == before


def _mark(file: Path) -> tuple[int, int, bytes]:
    about = file.stat()
    try:
        with wal_of(file).open("rb") as log:
            return about.st_mtime_ns, about.st_size, log.read(_WAL_HEADER)
    except FileNotFoundError:
        return about.st_mtime_ns, about.st_size, b""
