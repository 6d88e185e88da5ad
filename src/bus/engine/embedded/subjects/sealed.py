"""The table of subjects of an encrypted log, kept over restarts with the cipher of the log.

    subjects.sealed    +----------+-----+--------+---------+---------+-----
                       | magic    | ver | pieces | piece 1 | piece 2 | …       each the encrypted blocks of 1 MiB of the
                       |"bus.sub\\n"| u32 | u32    |         |         |         SQLite database, the last one of less
                       +----------+-----+--------+---------+---------+-----

While the server runs the table is in memory, for rows that lie in the order of subjects can't be encrypted one by one.
When it stops, the database is written as a whole, and taken up by the next start. The context of a piece is a digest of
its number and how many there are, so none can be moved, left out or come from elsewhere. The file is derived: what
can't be opened is counted anew, and so is what isn't of the log any more, which the database says (``rows.py``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from struct import Struct, error

from bus.storage.cipher import Cipher, DecryptionError, digest, encrypted_size
from bus.storage.files import DISK

SEALED_FILE = "subjects.sealed"
SEALED_VERSION = 1

_MAGIC = b"bus.sub\n"
_HEADER = Struct("<8sII")
_PIECE = 1 << 20
_BLOCK = 1 << 16


class SealedCopy:
    """The file at *path*, encrypted by *cipher*."""

    def __init__(self, path: Path, cipher: Cipher) -> None:
        self._path = path
        self._cipher = cipher

    def load(self, database: sqlite3.Connection) -> None:
        """Have all that was saved in *database*, which is empty; nothing if it can't be read."""
        try:
            saved = b"".join(self._open())
            with closing(sqlite3.connect(":memory:")) as whole:
                whole.deserialize(saved)
                whole.backup(database)
        except (OSError, error, DecryptionError, sqlite3.Error):
            self.discard()

    def _open(self) -> Iterator[bytes]:
        with closing(DISK.open(self._path)) as file:
            magic, version, pieces = _HEADER.unpack(file.read(0, _HEADER.size))
            if (magic, version) != (_MAGIC, SEALED_VERSION):
                raise DecryptionError("it is of another kind")
            size = encrypted_size(_PIECE, _BLOCK)
            for number in range(pieces):
                piece = file.read(_HEADER.size + number * size, size)
                yield self._cipher.open(piece, context=_context(number, pieces), block_size=_BLOCK)

    def save(self, database: sqlite3.Connection) -> None:
        """Write all of *database*. Raises OSError."""
        whole = memoryview(database.serialize())
        pieces = -(-len(whole) // _PIECE)
        temporary = self._path.with_name(f"{self._path.name}.tmp")
        temporary.unlink(missing_ok=True)
        with closing(DISK.create(temporary)) as file:
            file.write(0, _HEADER.pack(_MAGIC, SEALED_VERSION, pieces))
            for number in range(pieces):
                piece = bytes(whole[number * _PIECE : (number + 1) * _PIECE])
                sealed = self._cipher.encrypt(piece, context=_context(number, pieces), block_size=_BLOCK)
                file.write(_HEADER.size + number * encrypted_size(_PIECE, _BLOCK), sealed)
        DISK.rename(temporary, self._path)

    def discard(self) -> None:
        """Remove it, as far as that can be done."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def __repr__(self) -> str:
        return f"<SealedCopy {self._path}>"


def _context(number: int, pieces: int) -> bytes:
    return digest(b"subjects %d of %d" % (number, pieces))
