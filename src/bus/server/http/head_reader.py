"""Reading the heads of a connection, most of which say what was said before.

    head ─▶ as the last one? ─▶ known to all? ─▶ similar to the last acknowledgement? ─▶ read anew, and remembered
                   credentials are cut out before that: heads are remembered for all, and a secret isn't ─┘

Acknowledgements name other events each time, so none of them is known: they are similar.
"""

from __future__ import annotations

import re

from bus.access.principal import NOTHING, Credentials
from bus.server.http.request import LONGEST_REMEMBERED, REMEMBERED_HEADS, Head, read_head
from bus.server.http.similar_heads import SimilarHeads

ACKNOWLEDGES = b"PUT"
"""The method of acknowledgements, each of which names other events."""

_AUTHORIZATION = re.compile(rb"\r\nauthorization:([\t -~\x80-\xff]*)(?=\r\n[^\t ])", re.IGNORECASE)

_known_heads: dict[bytes, Head] = {}
"""Heads read lately, by their bytes without ``Authorization``, the oldest first."""


class HeadReader:
    """Reads the heads of one connection, of which each ends with its empty line, and takes credentials out of them.

    What comes with credentials is remembered without them for all, and with them for this connection alone, while it
    repeats the same head, or one that is similar to it.

    ``bare`` is what comes with a head that brings nothing itself: what the connection was made with.
    """

    __slots__ = ("_last", "_last_read", "_similar", "bare")

    def __init__(self) -> None:
        self.bare = NOTHING
        self._last = b""
        self._last_read: tuple[Head, Credentials] | None = None
        self._similar: SimilarHeads | None = None

    def read(self, head: bytes) -> tuple[Head, Credentials]:
        """The head, and what came with it. Raises a `MalformedError`."""
        if head == self._last and self._last_read:
            return self._last_read
        known = _known_heads.get(head)
        if known is not None:
            return known, self.bare
        return (self._similar and self._similar.read(head)) or self._read_anew(head)

    def _read_anew(self, head: bytes) -> tuple[Head, Credentials]:
        found = _AUTHORIZATION.search(head)
        read, credentials = self._read_with_credentials(head, found) if found else (_read_known(head), self.bare)
        if read.method == ACKNOWLEDGES:
            self._similar = SimilarHeads.to(head, read, credentials)
        return read, credentials

    def _read_with_credentials(self, head: bytes, found: re.Match[bytes]) -> tuple[Head, Credentials]:
        bare = head[: found.start()] + head[found.end() :]
        read = _read_known(bare)
        credentials, value = self._last_read[1] if self._last_read else NOTHING, found[1].strip()
        if value != credentials.value:
            credentials = Credentials(value)
        self._last, self._last_read = head if len(head) <= LONGEST_REMEMBERED else b"", (read, credentials)
        return read, credentials

    def __repr__(self) -> str:
        return f"<HeadReader with {self._last_read[1] if self._last_read else NOTHING!r}>"


def _read_known(head: bytes) -> Head:
    """Read *head*, unless it was lately. One that comes once isn't remembered: it would push out others."""
    known = _known_heads.get(head)
    if known is not None:
        return known
    read = read_head(head)
    if len(head) <= LONGEST_REMEMBERED and read.method != ACKNOWLEDGES:
        if len(_known_heads) >= REMEMBERED_HEADS:
            del _known_heads[next(iter(_known_heads))]
        _known_heads[head] = read
    return read
