"""What stands for a token where a web page can't send one: a session in a cookie, and tickets in an address.

    session   cookie bus_session = base64url( secretbox( ends i64 | Authorization ) )
    ticket    ?ticket=43 random characters, which stand for an Authorization, for 30 seconds and one request

A session is what the page signed in with, sealed by a key that only the server has (XSalsa20-Poly1305, ``cipher.py``).
So nothing is kept of it: it lasts over a restart, and ends with its time, or when the token itself does. A cookie that
is stolen is no token. A ticket is used up when it is seen, for addresses end up in logs.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter, OrderedDict
from struct import Struct
from typing import NamedTuple

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

from bus.errors import OverloadedError, TooLargeError, UnauthorizedError
from bus.units import SECOND_NS

COOKIE = "bus_session"
SESSION_SECONDS = 12 * 3600
TICKET_SECONDS = 30

MOST_TICKETS = 1000
"""Tickets that may be out at once for one principal: nobody can keep others from theirs."""

MOST_TICKETS_IN_ALL = 100_000
"""For all of them together, some 40 MB."""

LONGEST_COOKIE = 4000
"""What browsers keep of one, its name and attributes included (RFC 6265, section 6.1)."""

_ENDS = Struct("<q")
_OVER = UnauthorizedError("the session is over, or was begun on another server: begin one anew")


class Sessions:
    """Seals what somebody signed in with by *key*, 32 random bytes."""

    def __init__(self, key: bytes) -> None:
        self._box = SecretBox(key)

    def begin(self, authorization: bytes, *, ends: int) -> str:
        """The cookie of a session until it *ends* (ns). Raises `TooLargeError` for what no cookie takes."""
        text = urlsafe_b64encode(self._box.encrypt(_ENDS.pack(ends) + authorization)).decode()
        if len(text) > LONGEST_COOKIE:
            raise TooLargeError("the token is too long for a cookie: ask for a ticket for each stream instead")
        return text

    def open(self, cookie: bytes, *, now: int) -> tuple[bytes, int]:
        """What a session was begun with, and when it ends (ns). Raises `UnauthorizedError`."""
        try:
            opened = self._box.decrypt(urlsafe_b64decode(cookie))
        except (CryptoError, ValueError):
            raise _OVER from None
        (ends,) = _ENDS.unpack_from(opened)
        if ends <= now:
            raise _OVER
        return opened[_ENDS.size :], ends

    def __repr__(self) -> str:
        return "<Sessions>"


class Ticket(NamedTuple):
    """What a ticket stands for, until when (ns), and whose it is."""

    authorization: bytes
    expires: int
    owner: str


class Tickets:
    """The tickets that are out, the oldest first."""

    def __init__(self) -> None:
        self._out: OrderedDict[str, Ticket] = OrderedDict()
        self._held: Counter[str] = Counter()

    def issue(self, authorization: bytes, *, owner: str, now: int) -> str:
        """A ticket that stands for *authorization* from *now* (ns) on, for the principal named *owner*.

        Raises `OverloadedError` if too many are out.
        """
        self._forget_expired(now)
        if self._held[owner] >= MOST_TICKETS or len(self._out) >= MOST_TICKETS_IN_ALL:
            raise OverloadedError("too many tickets are out: use one, or try again shortly")
        ticket = secrets.token_urlsafe(32)
        self._out[ticket] = Ticket(authorization, now + TICKET_SECONDS * SECOND_NS, owner)
        self._held[owner] += 1
        return ticket

    def redeem(self, ticket: str, *, now: int) -> bytes:
        """What *ticket* stands for, for the first who shows it. Raises `UnauthorizedError` for others, or later."""
        found = self._take(ticket)
        if found is None or found.expires <= now:
            raise UnauthorizedError("the ticket was used, or its 30 seconds are over: ask for another")
        return found.authorization

    def _take(self, ticket: str) -> Ticket | None:
        found = self._out.pop(ticket, None)
        if found:
            self._held[found.owner] -= 1
            if not self._held[found.owner]:
                del self._held[found.owner]
        return found

    def _forget_expired(self, now: int) -> None:
        while self._out and self._out[oldest := next(iter(self._out))].expires <= now:
            self._take(oldest)

    def __repr__(self) -> str:
        return f"<Tickets, {len(self._out)} out>"
