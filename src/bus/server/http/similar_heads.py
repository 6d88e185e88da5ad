"""Heads that differ by their query alone, as those of acknowledgements do: what is said about one holds for the next.

PUT /?consumer_id=c_3f&event_id=e_2a HTTP/1.1\\r\\nHost: bus\\r\\n\\r\\n
─────╴                              ╶──────────────────────────
before            query                        behind
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from bus.access.principal import Credentials
from bus.server.http.request import Head

LONGEST_SIMILAR = 1024
"""Bytes of a head that is compared with the next."""

_PLAIN_QUERY = re.compile(rb"[!-\"$-~]*")
"""All that a query may be on its own: no blank ends it, and no fragment."""


class SimilarHeads:
    """Knows heads that are as *head* but for the query; that was *read*, and came with *credentials*."""

    __slots__ = ("_before", "_behind", "_credentials", "_read")

    def __init__(self, head: bytes, read: Head, credentials: Credentials) -> None:
        line = head[: head.index(b"\r\n")]
        self._before = line[: line.find(b"?") + 1]
        self._behind = head[line.rindex(b" ") :]
        self._credentials = credentials
        self._read = read

    @classmethod
    def to(cls, head: bytes, read: Head, credentials: Credentials) -> SimilarHeads | None:
        """Those similar to *head*, None if it has no query or is too long."""
        if not read.raw_query or len(head) > LONGEST_SIMILAR:
            return None
        return cls(head, read, credentials)

    def read(self, head: bytes) -> tuple[Head, Credentials] | None:
        """What *head* says and brings, None if it isn't similar."""
        before, behind = self._before, self._behind
        if len(head) > LONGEST_SIMILAR or not (head.startswith(before) and head.endswith(behind)):
            return None
        query = _PLAIN_QUERY.fullmatch(head, len(before), len(head) - len(behind))
        return (replace(self._read, raw_query=query[0], _query=None), self._credentials) if query else None

    def __repr__(self) -> str:
        return f"<SimilarHeads to {self._read.method.decode()} {self._read.path!a}>"
