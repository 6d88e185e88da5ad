"""Authentication: whom a request is from. This is the one place where a principal is found, and found again.

    Authorization: Bearer bus_… ─▶ digest ─▶ [tokens] ─────▶ principal
    Authorization: Bearer x.y.z ─▶ keys of the issuer ─────▶ principal
    certificate of the connection ─▶ name ─▶ [certs] ──────▶ principal
    Cookie: bus_session=…       ─▶ what the session was begun with, as above
    neither, or a name that has no table ──▶ [anonymous] ──▶ principal, or 401

A token counts before a certificate. One that isn't known is never taken for none.
"""

from __future__ import annotations

import time
from typing import Protocol

from bus.access.principal import Credentials, Principal
from bus.access.sessions import Sessions
from bus.access.token import is_token
from bus.access.token_file import Tokens
from bus.errors import BusError, ForbiddenError, UnauthorizedError
from bus.server.http.request import Request

_BEARER = b"bearer "
_DOTS = 2
"""Between the header of a JWT, its content and its signature (RFC 7515, section 7.1)."""
_HOW = "send it as Authorization: Bearer bus_…"


class Authenticator(Protocol):
    """Tells who asks."""

    def identify(self, request: Request) -> Principal:
        """Whom *request* is from. Raises `UnauthorizedError` if that isn't known."""

    def identify_again(self, principal: Principal) -> Principal:
        """Who *principal*, which was known before, is now. Raises `UnauthorizedError` if it isn't known any more."""


class Jwts(Protocol):
    """Knows principals by JSON web tokens."""

    def find(self, token: bytes, *, now: int) -> Principal:
        """Whose *token* is at *now* (ns). Raises `UnauthorizedError`, or `UnavailableError` if that isn't known yet."""

    def again(self, principal: Principal) -> Principal | None:
        """*principal*, or None if its JWT wouldn't be taken any more."""


class TokenAuthenticator:
    """Knows principals by ``tokens`` and by *jwts*, which may be others from one moment to the next: see `trust`."""

    def __init__(self, tokens: Tokens, jwts: Jwts | None = None, *, sessions: Sessions) -> None:
        self._sessions = sessions
        self.trust(tokens, jwts)

    def trust(self, tokens: Tokens, jwts: Jwts | None) -> None:
        """Go by these from now on; what was known before is looked up again."""
        self.tokens = tokens
        self._jwts = jwts
        self._source = object()

    def identify(self, request: Request) -> Principal:
        credentials, source = request.credentials, self._source
        principal = credentials.principal
        if principal is None or credentials.source is not source:
            if not (credentials.value or credentials.certificate):
                return self._known(self.tokens.anonymous)
            principal = self._find(credentials)
            credentials.belong_to(principal, source)
        return principal if principal.expires is None else _unless_expired(principal)

    def _known(self, principal: Principal | None) -> Principal:
        if principal is None:
            raise token_needed("for this")
        return principal

    def _find(self, credentials: Credentials) -> Principal:
        if not credentials.value:
            return self._known(self.tokens.certified(credentials.certificate))
        if not credentials.from_cookie:
            return self._find_authorized(credentials.value)
        authorization, expires = self._sessions.open(credentials.value, now=time.time_ns())
        return self._find_authorized(authorization).within(expires)

    def _find_authorized(self, value: bytes) -> Principal:
        if value[: len(_BEARER)].lower() != _BEARER:
            raise UnauthorizedError(f"the Authorization is no Bearer token: {_HOW}")
        token = value[len(_BEARER) :].strip()
        principal = self.tokens.find(token)
        if principal is None and self._jwts and token.count(b".") == _DOTS:
            principal = self._jwts.find(token, now=time.time_ns())
        if principal is None:
            raise UnauthorizedError(_why_unknown(token))
        return principal

    def identify_again(self, principal: Principal) -> Principal:
        found = self.tokens.again(principal) or (self._jwts.again(principal) if self._jwts else None)
        if found is None:
            raise UnauthorizedError(f"{principal} is not known any more: it was revoked")
        return _unless_expired(found if principal.session_ends is None else found.within(principal.session_ends))

    def __repr__(self) -> str:
        return f"<TokenAuthenticator by {self.tokens!r}>"


def _unless_expired(principal: Principal) -> Principal:
    if principal.expires is not None and principal.has_expired(time.time_ns()):
        raise UnauthorizedError(f"{principal} has expired: ask for another")
    return principal


def token_needed(what: str) -> UnauthorizedError:
    """The error for somebody who has to show a token."""
    return UnauthorizedError(f"a token is needed {what}: {_HOW}")


def refusal(principal: Principal, what: str, missing: str) -> BusError:
    """The error for *principal*, who may not do *what*; for somebody anonymous, a token might help."""
    if principal.proof:
        return ForbiddenError(f"{principal} may not {what}: {missing}")
    return token_needed(f"to {what}")


def _why_unknown(token: bytes) -> str:
    """What may be wrong with *token*, which isn't told."""
    if is_token(token.decode("latin-1")):
        return "the token is not known here: it was revoked, or is for another server"
    return "the token is not whole: it is bus_ and 49 letters and digits"
