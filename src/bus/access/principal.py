"""Principals: whom a request is from, and what that one may do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from bus.access.limits import Limits
from bus.access.rights import EVERYTHING, Rights

ANONYMOUS = "anonymous"
"""The name of whoever doesn't show who that is."""

JWT_NAME = "jwt:"
"""What the names of those begin with who are known by a JSON web token: no other name does."""


class Proof(StrEnum):
    """By what somebody showed who that is."""

    NONE = ""
    TOKEN = "token"
    CERTIFICATE = "certificate"
    JWT = "JWT"


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """Somebody who is known: the name, the rights, and until when they hold, in ns since the epoch.

    ``proof`` is by what it is known, ``digest`` that of its token, empty without one; ``limits`` None are none.
    ``session_ends`` is when the session is over by which it is known, in ns as well; None without one.
    """

    name: str
    rights: Rights
    expires: int | None = None
    digest: bytes = field(default=b"", repr=False)
    proof: Proof = Proof.NONE
    limits: Limits | None = None
    session_ends: int | None = None

    def within(self, session_ends: int) -> Principal:
        """The same, known by a session: the rights hold no longer than that."""
        expires = session_ends if self.expires is None else min(session_ends, self.expires)
        return replace(self, expires=expires, session_ends=session_ends)

    def has_expired(self, now: int) -> bool:
        """Whether its time is over at *now* (ns)."""
        return self.expires is not None and self.expires <= now

    def __str__(self) -> str:
        return f"{self.proof} {self.name}" if self.proof else self.name


class Credentials:
    """What somebody brings to show who that is: the value of ``Authorization``, empty for nothing.

    If it came ``from_cookie`` the value is that of the session's cookie, which is to be opened first.
    ``certificate`` is the name in the certificate that the connection was made with, empty if there is none.
    Who that is gets noted here, in ``principal``, by what it was found out, in ``source``, and in ``meets`` what it was
    found to have the right for last: a client that repeats itself brings the same object again.
    """

    __slots__ = ("certificate", "from_cookie", "meets", "principal", "source", "value")

    def __init__(self, value: bytes, *, certificate: str = "", from_cookie: bool = False) -> None:
        self.value = value
        self.from_cookie = from_cookie
        self.certificate = certificate
        self.principal: Principal | None = None
        self.source: object = None
        self.meets: object = None

    def belong_to(self, principal: Principal, source: object) -> None:
        """Note whose they are, as *source* says."""
        self.principal, self.source, self.meets = principal, source, None

    def __repr__(self) -> str:
        return f"<Credentials of {self.principal or 'somebody'}>"


NOTHING = Credentials(b"")
"""What somebody brings who brings nothing."""

EVERYBODY = Principal("everybody", EVERYTHING)
"""Whom every request is from where there is no token file."""
