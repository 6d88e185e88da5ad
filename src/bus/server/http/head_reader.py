"""Reading the heads of a connection, most of which say what was said before.

    head ─▶ as the last one? ─▶ known to all? ─▶ similar to the last acknowledgement? ─▶ read anew, and remembered
                   credentials are cut out before that: heads are remembered for all, and a secret isn't ─┘

Acknowledgements name other events each time, so none of them is known: they are similar.
"""

from __future__ import annotations

import re
from typing import Final

from bus.access.principal import NOTHING, Credentials
from bus.access.sessions import COOKIE
from bus.server.http.request import LONGEST_REMEMBERED, REMEMBERED_HEADS, Head, read_head
from bus.server.http.similar_heads import SimilarHeads

ACKNOWLEDGES: Final = b"PUT"
"""The method of acknowledgements, each of which names other events."""

_SECRET: Final = re.compile(rb"\r\n(authorization|cookie):([\t -~\x80-\xff]*)(?=\r\n[^\t ])", re.IGNORECASE)
_SESSION: Final = re.compile(rb"(?:^|;)[ \t]*%b=([\w=-]+)" % COOKIE.encode())

_TICKET: Final = re.compile(rb"(?:^|&)(?:ticket=|[^=&]*%)")
"""A parameter that is a ticket, or may be one: its name is escaped."""

_known_heads: Final[dict[bytes, Head]] = {}
"""Heads read lately, by their bytes without ``Authorization`` and ``Cookie``, the oldest first; none has a ticket."""


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
        has_secrets = _SECRET.search(head) is not None
        read, credentials = self._read_with_secrets(head) if has_secrets else (_read_known(head), self.bare)
        if read.method == ACKNOWLEDGES:
            self._similar = SimilarHeads.to(head, read, credentials)
        return read, credentials

    def _read_with_secrets(self, head: bytes) -> tuple[Head, Credentials]:
        secrets = _Secrets()
        read = _read_known(_SECRET.sub(secrets.take, head))
        credentials = self._last_read[1] if self._last_read else NOTHING
        if secrets.authorization is not None:
            if secrets.authorization != credentials.value:
                credentials = Credentials(secrets.authorization)
        elif not secrets.session:
            credentials = self.bare
        elif secrets.session != credentials.value:
            credentials = Credentials(secrets.session, from_cookie=True)
        self._last, self._last_read = head if len(head) <= LONGEST_REMEMBERED else b"", (read, credentials)
        return read, credentials

    def __repr__(self) -> str:
        return f"<HeadReader with {self._last_read[1] if self._last_read else NOTHING!r}>"


class _Secrets:
    """What is cut out of a head: its first ``Authorization``, for a second one is refused, and all its cookies."""

    def __init__(self) -> None:
        self.authorization: bytes | None = None
        self.session = b""

    def take(self, found: re.Match[bytes]) -> bytes:
        """Note a header, and return what is left in its place."""
        if found[1].lower() == b"cookie":
            session = _SESSION.search(found[2])
            self.session = session[1] if session else self.session
            return b""
        if self.authorization is not None:
            return found[0]
        self.authorization = found[2].strip()
        return b""


def _read_known(head: bytes) -> Head:
    """Read *head*, unless it was lately. One that comes once isn't remembered: it would push out others."""
    known = _known_heads.get(head)
    if known is not None:
        return known
    read = read_head(head)
    if len(head) <= LONGEST_REMEMBERED and read.method != ACKNOWLEDGES and not _TICKET.search(read.raw_query):
        if len(_known_heads) >= REMEMBERED_HEADS:
            del _known_heads[next(iter(_known_heads))]
        _known_heads[head] = read
    return read
