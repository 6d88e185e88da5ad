"""The audit log: a line of JSON for whatever was managed or refused, with who asked, from where, and why it was so."""

from __future__ import annotations

import logging
import sys
import time

import msgspec

from bus.access.principal import Principal
from bus.server.http.responder import Carrier
from bus.units import format_time

log = logging.getLogger("bus.audit")

LONGEST = 500
"""Characters of what is said of one request: subjects in it may be many."""


class Entry(msgspec.Struct):
    """One line. ``from_`` is the address at the other end of the connection."""

    time: str
    who: str
    from_: str = msgspec.field(name="from")
    what: str
    allowed: bool
    why: str


def set_up() -> None:
    """Write the audit log to standard error: whole lines of JSON, whatever the level of other logs is."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def write(connection: Carrier, principal: Principal | None, what: str, *, allowed: bool, why: str) -> None:
    """Write down that *what* was asked over *connection*; *principal* is None for somebody who isn't known."""
    entry = Entry(
        time=format_time(time.time_ns()),
        who=principal.name if principal else "",
        from_=_address_of(connection),
        what=what[:LONGEST],
        allowed=allowed,
        why=why[:LONGEST],
    )
    log.info("%s", msgspec.json.encode(entry).decode())


def _address_of(connection: Carrier) -> str:
    peer = connection.transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""
