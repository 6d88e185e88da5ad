"""Much data for one stream, sent in pieces, and not kept in memory while the client doesn't read.

An event may be as large as a body, and a client that doesn't read leaves it unsent. So only a piece is handed to
the connection at a time. The rest is kept while it moves; of all that doesn't, no more than `UNSENT_BYTES` is, and
what had to go is made once more from the log when its client reads on.
"""

from __future__ import annotations

from collections.abc import Callable

from bus.errors import StorageError

LARGE_PIECE = 256 * 1024
"""Bytes handed to a connection at a time."""

UNSENT_BYTES = 16 * 1024 * 1024


class Pieces:
    """The bytes of one write, piece by piece. *again* makes all of them once more."""

    __slots__ = ("_again", "_at", "_data", "_kept", "_size")

    def __init__(self, data: bytes, again: Callable[[], bytes], kept: KeptPieces) -> None:
        self._again = again
        self._at = 0
        self._data = data
        self._kept = kept
        self._size = len(data)

    @property
    def done(self) -> bool:
        return self._at >= self._size

    def next(self) -> bytes:
        """The next piece. Raises `StorageError` if retention has deleted it."""
        data = self._data or self._again()
        if len(data) != self._size:
            raise StorageError("the rest of an event is no longer in the log: subscribe again")
        piece = data[self._at : self._at + LARGE_PIECE]
        self._at += len(piece)
        self._data = b"" if self.done else data
        self._kept.note(self, len(self._data))
        return piece

    def let_go(self) -> None:
        """Keep nothing."""
        self._data = b""

    def __repr__(self) -> str:
        return f"<Pieces, {self._at} of {self._size} bytes sent>"


class KeptPieces:
    """Who keeps data, the one that moved last at the end."""

    def __init__(self, most: int = UNSENT_BYTES) -> None:
        self._most = most
        self._sizes: dict[Pieces, int] = {}
        self.bytes = 0

    def note(self, pieces: Pieces, size: int) -> None:
        """*pieces* has moved and keeps *size* bytes; if that is too much, who moved longest ago forgets its own."""
        self.forget(pieces)
        if size:
            self._sizes[pieces] = size
            self.bytes += size
        while self.bytes > self._most:
            oldest = next(iter(self._sizes))
            self.forget(oldest)
            oldest.let_go()

    def forget(self, pieces: Pieces) -> None:
        self.bytes -= self._sizes.pop(pieces, 0)

    def __repr__(self) -> str:
        return f"<KeptPieces {self.bytes} bytes for {len(self._sizes)} streams>"
