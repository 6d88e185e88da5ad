"""The hosts that a request may be for, so that no name of somebody else's leads a browser here (DNS rebinding).

A page of ``evil.example`` may have its name resolve to this server's address, and is then of the same origin as what
the server answers. The browser still says ``Host: evil.example``. An IP address and ``localhost`` are resolved by
nobody, so they may always stand there; so may nothing at all, which HTTP/1.0 allows and no browser does.
"""

from __future__ import annotations

import re
from collections.abc import Set
from functools import lru_cache

from bus.errors import MisdirectedError
from bus.server.http.client_address import read_address
from bus.server.http.request import Request
from bus.server.http.responder import Responder

_PORT = re.compile(r":\d*\Z", re.ASCII)

REMEMBERED = 256
"""Values of ``Host`` whose verdict is remembered."""


class KnownHosts:
    """Lets requests through for *names*, which have a port where only that one will do."""

    def __init__(self, names: Set[str]) -> None:
        self._names = names
        self._knows = lru_cache(REMEMBERED)(self._judge)

    def check(self, request: Request, responder: Responder) -> None:
        """Raise `MisdirectedError` if *request* is for another host."""
        host = request.head.section.header(b"host").lower()
        if not self._knows(host):
            raise MisdirectedError(
                f"host {host[:80]!a} is not one of this server's: name it with --hosts if it should be"
            )

    def _judge(self, host: str) -> bool:
        name = _PORT.sub("", host)
        return name in ("", "localhost") or read_address(name) is not None or not self._names.isdisjoint((host, name))

    def __repr__(self) -> str:
        return f"<KnownHosts {', '.join(sorted(self._names))}>"
