"""Heads that differ by the last value of their query alone, as acknowledgements do: what one says, the next says too.

PUT /?consumer_id=c_3f&event_id=e_2a HTTP/1.1\\r\\nHost: bus\\r\\n\\r\\n
───────────────────────────────╴    ╶──────────────────────────
            before                             behind
"""

from __future__ import annotations

import re
from typing import Final

from bus.access.principal import Credentials
from bus.server.http.request import Head

LONGEST_SIMILAR: Final = 1024
"""Bytes of a head that is compared with the next."""

_PLAIN: Final = re.compile(rb"[!-\"$-~]*")
"""What a value may be: no blank ends the query, and no fragment."""


class SimilarHeads:
    """Knows heads that are as *head* but for the last value of its query.

    That one was *read*, and came with *credentials*; *query* and *value* say where these begin in it.
    """

    __slots__ = ("_before", "_behind", "_credentials", "_query", "_read")

    def __init__(self, head: bytes, read: Head, credentials: Credentials, *, query: int, value: int) -> None:
        self._before = head[:value]
        self._behind = head[query + len(read.raw_query) :]
        self._credentials = credentials
        self._query = query
        self._read = read

    @classmethod
    def to(cls, head: bytes, read: Head, credentials: Credentials) -> SimilarHeads | None:
        """Those similar to *head*, None if it is too long, or its query has no value or isn't all behind the path."""
        query, name = head.find(b"?") + 1, read.raw_query.rfind(b"=")
        if name < 0 or len(head) > LONGEST_SIMILAR or not head.startswith(read.raw_query + b" ", query):
            return None
        return cls(head, read, credentials, query=query, value=query + name + 1)

    def read(self, head: bytes) -> tuple[Head, Credentials] | None:
        """What *head* says and brings, None if it isn't similar."""
        before, behind = self._before, self._behind
        if len(head) > LONGEST_SIMILAR or not (head.startswith(before) and head.endswith(behind)):
            return None
        end = len(head) - len(behind)
        if not _PLAIN.fullmatch(head, len(before), end):
            return None
        return self._read.asking(head[self._query : end]), self._credentials

    def __repr__(self) -> str:
        return f"<SimilarHeads to {self._read.method.decode()} {self._read.path!a}>"
