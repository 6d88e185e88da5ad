"""Signing in from a web page, over HTTP.

POST   /v1/session      a session, as a cookie, for who shows a token
DELETE /v1/session      end it
POST   /v1/tickets      a ticket, for one stream
"""

from __future__ import annotations

import time

import msgspec

from bus.access.sessions import COOKIE, SESSION_SECONDS, TICKET_SECONDS, Sessions, Tickets
from bus.errors import UnauthorizedError
from bus.server.http.client_address import ClientAddresses
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers
from bus.units import SECOND_NS
from bus.wire import JSON


class SessionRoutes:
    """Begins *sessions* and issues *tickets*; *clients* says who has come over TLS."""

    def __init__(self, sessions: Sessions, tickets: Tickets, clients: ClientAddresses) -> None:
        self._sessions = sessions
        self._tickets = tickets
        self._clients = clients

    def begin(self, request: Request, responder: Responder) -> None:
        """Set the cookie. It takes a token, so that no session is made of a session for ever."""
        authorization = request.credentials.value
        if not authorization or request.credentials.from_cookie:
            raise UnauthorizedError("a session is begun with a token: send it as Authorization: Bearer bus_…")
        now = time.time_ns()
        ends = request.principal.within(now + SESSION_SECONDS * SECOND_NS).expires or now
        session = self._sessions.begin(authorization, ends=ends)
        self._set(request, responder, session, seconds=max((ends - now) // SECOND_NS, 0))

    def end(self, request: Request, responder: Responder) -> None:
        """Have the browser forget the cookie."""
        self._set(request, responder, "", seconds=0)

    def _set(self, request: Request, responder: Responder, value: str, *, seconds: int) -> None:
        secure = "; Secure" if self._clients.is_secure(responder.connection, request.head) else ""
        cookie = f"{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
        responder.respond(204, format_headers({"Set-Cookie": cookie, "Cache-Control": "no-store"}))

    def issue_ticket(self, request: Request, responder: Responder) -> None:
        """Answer with a ticket, which stands for what the request came with."""
        authorization, now = request.credentials.value, time.time_ns()
        if request.credentials.from_cookie:
            authorization, _ = self._sessions.open(authorization, now=now)
        ticket = self._tickets.issue(authorization, owner=request.principal.name, now=now)
        body = msgspec.json.encode({"ticket": ticket, "expires_in": TICKET_SECONDS})
        responder.respond(201, format_headers({"Content-Type": JSON, "Cache-Control": "no-store"}), body)

    def __repr__(self) -> str:
        return f"<SessionRoutes, {self._tickets!r}>"
