"""Lines of an upload, cut from the pieces it comes in.

    piece ─▶ pending ── so many at a time ──▶ lines
                └─ its last part, without a break ─▶ begun ─▶ the beginning of the next line

A piece is searched once, however small the pieces are, and a line that comes in many is put together once.
"""

from __future__ import annotations


class LineCutter:
    """Takes a body piece by piece and gives its lines, of which none may be longer than *longest* bytes."""

    __slots__ = ("_begun", "_longest", "_pending")

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._pending = b""
        self._begun = bytearray()

    def feed(self, data: bytes) -> None:
        self._pending = self._pending + data if self._pending else data

    def finish(self) -> None:
        """The last line needs no break."""
        if self._pending or self._begun:
            self.feed(b"\n")

    def clear(self) -> None:
        """Forget a line that will not be finished."""
        self._begun = bytearray()

    @property
    def pending(self) -> bool:
        """Whether there may be whole lines to take."""
        return bool(self._pending)

    @property
    def size(self) -> int:
        """Bytes held."""
        return len(self._pending) + len(self._begun)

    def take(self, most: int) -> list[bytes]:
        """The next lines, *most* of them at most."""
        *lines, self._pending = self._pending.split(b"\n", most)
        if lines and self._begun:
            lines[0] = bytes(self._begun) + lines[0]
            self._begun = bytearray()
        if len(lines) < most:
            self._begin()
        return lines

    def _begin(self) -> None:
        """What is left is the beginning of a line."""
        self._begun += self._pending
        self._pending = b""

    @property
    def too_long(self) -> bool:
        """Whether the line that has begun is too long already."""
        return len(self._begun) > self._longest

    def __repr__(self) -> str:
        return f"<LineCutter {len(self._pending)} bytes pending, {len(self._begun)} of a line begun>"
