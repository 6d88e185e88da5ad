"""The audit log: a line of JSON for whatever was managed or refused, with who asked, from where, and why it was so."""

from __future__ import annotations

import logging
import sys
import time

import msgspec

from bus.access.principal import Principal
from bus.server.http.client_address import ClientAddresses
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.units import format_time

log = logging.getLogger("bus.audit")

LONGEST = 500
"""Characters of what is said of one request: subjects in it may be many."""


def what_is_asked(request: Request) -> str:
    """What a request does to the server itself, in the words of HTTP."""
    return f"{request.head.method.decode()} {request.head.path}"


class Entry(msgspec.Struct):
    """One line. ``from_`` is the client's address, or that for which a trusted proxy asks."""

    time: str
    who: str
    from_: str = msgspec.field(name="from")
    what: str
    allowed: bool
    why: str


class AuditLog:
    """Writes to standard error, whatever the level of other logs is; *clients* tells from where somebody asks."""

    def __init__(self, clients: ClientAddresses) -> None:
        self._clients = clients
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.handlers = [handler]
        log.setLevel(logging.INFO)
        log.propagate = False

    def write(self, responder: Responder, principal: Principal | None, what: str, *, allowed: bool, why: str) -> None:
        """Write down that *what* was asked by the request that *responder* answers.

        *principal* is None for somebody who isn't known.
        """
        entry = Entry(
            time=format_time(time.time_ns()),
            who=principal.name if principal else "",
            from_=self._clients.shown(responder.connection, responder.head),
            what=what[:LONGEST],
            allowed=allowed,
            why=why[:LONGEST],
        )
        log.info("%s", msgspec.json.encode(entry).decode())

    def __repr__(self) -> str:
        return f"<AuditLog of {self._clients!r}>"
