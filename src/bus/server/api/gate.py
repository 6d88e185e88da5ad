"""The gate: the one place that every request passes before anything is done with it.

    request ─▶ host, limits of its client ─▶ route ─▶ page ─▶ connection ─▶ whose it is, limits of that one
            ─▶ parameters ─▶ handler

Whole bodies come here when they are complete, uploads before the first line of them is taken. What a principal may do
depends on what is in the request; `Permits` decides it where that is read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from bus.access.principal import Credentials
from bus.access.sessions import Tickets
from bus.errors import BusError, ForbiddenError, UnauthorizedError
from bus.server.api.audit import AuditLog
from bus.server.api.authentication import Authenticator
from bus.server.api.needs import check_need
from bus.server.api.page_writes import PageWrites
from bus.server.api.principal_limits import PrincipalLimits
from bus.server.api.route import Need, Route, RouteTable
from bus.server.http.connection_limits import Admission
from bus.server.http.cross_origin import SAFE_METHODS, check_page
from bus.server.http.request import Request
from bus.server.http.responder import Responder

NOTHING: Final = Need.NOTHING
SIGN_OUT: Final = Need.SIGN_OUT
"""What nobody is asked for who that is. Names of their own: until Python 3.12, to look one up in its class takes a
quarter of what the rest does."""

Check = Callable[[Request, Responder], None]
"""Raises a `BusError` if a request may not pass, whatever it is for."""


class Gate:
    """Lets requests through to the routes of *table* if they pass *checks*; pages of *origins* may change something.

    Without *authenticator* nobody is asked who they are.
    """

    def __init__(
        self,
        table: RouteTable,
        admission: Admission,
        authenticator: Authenticator | None,
        origins: Sequence[str],
        audit: AuditLog,
        limits: PrincipalLimits,
        tickets: Tickets,
        page_writes: PageWrites | None,
        checks: Sequence[Check] = (),
    ) -> None:
        self._audit = audit
        self._checks = tuple(checks)
        self._limits = limits
        self._page_writes = page_writes
        self._tickets = tickets
        self._table = table
        self._authenticator = authenticator
        self._admission = admission
        self._origins = origins
        self._named_origins = [origin for origin in origins if origin != "*"]

    def let_in(self, request: Request, responder: Responder) -> Route:
        """The route that *request* may take.

        Raises `ForbiddenError`, `OverloadedError`, `NotFoundError`, `MethodNotAllowedError`, `UnauthorizedError`,
        `TooManyRequestsError`, `InvalidParameterError`, and what the checks raise.
        """
        for check in self._checks:
            check(request, responder)
        route = self._table.find(request)
        if request.head.section.from_page:
            self._check_page(request, route, responder, origins=self._origins)
        if self._admission.reserve:
            self.check_admission(request, responder)
        if route is None:
            raise self._table.refusal(request)
        if self._authenticator:
            self._identify(self._authenticator, request, route, responder)
            if request.credentials.from_cookie:
                self._check_page(request, route, responder, origins=self._named_origins)
            if limits := request.principal.limits:
                self._limits.check(limits, request, responder)
        if request.head.raw_query:
            route.check(request)
        return route

    def check_sender(self, request: Request, responder: Responder) -> None:
        """Raise what `let_in` does for a request whose body has yet to come, as far as that is about who sends it."""
        self.check_admission(request, responder)
        route = self._table.find(request)
        if self._authenticator and route:
            self._identify(self._authenticator, request, route, responder)

    def _check_page(
        self, request: Request, route: Route | None, responder: Responder, *, origins: Sequence[str]
    ) -> None:
        changes = _changes(request, route)
        try:
            check_page(request, origins, changes=changes)
            if changes and self._page_writes:
                self._page_writes.check(request, responder)
        except ForbiddenError as error:
            self._note(request, responder, error)
            raise

    def _identify(self, authenticator: Authenticator, request: Request, route: Route, responder: Responder) -> None:
        """Tell *request* whom it is from, and refuse what nobody of that one's rights may do there."""
        needs = route.needs
        if needs is NOTHING or needs is SIGN_OUT:
            return
        try:
            if route.takes_tickets and (ticket := request.parameter("ticket")):
                request.credentials = Credentials(self._tickets.redeem(ticket, now=time.time_ns()))
            request.principal = principal = authenticator.identify(request)
            responder.known_as(principal.name)
            if request.credentials.meets is not needs:
                check_need(principal, needs)
                _note_met(request, needs)
        except (UnauthorizedError, ForbiddenError) as error:
            self._note(request, responder, error)
            raise

    def _note(self, request: Request, responder: Responder, error: BusError) -> None:
        what = f"{request.head.method.decode()} {request.head.path}"
        self._audit.write(responder, request.principal, what, allowed=False, why=error.message)

    def check_admission(self, request: Request, responder: Responder) -> None:
        """Raise `OverloadedError` if the connection was let in only to ask for something else."""
        if refusal := self._admission.refusal(responder.connection):
            responder.close = True
            if request.head.path not in self._table.probes:
                raise refusal

    def __repr__(self) -> str:
        return f"<Gate to {self._table!r}>"


def _note_met(request: Request, need: Need) -> None:
    """Who comes with the same credentials again needn't be asked again; who brings none may be anybody."""
    if request.credentials.principal is request.principal:
        request.credentials.meets = need


def _changes(request: Request, route: Route | None) -> bool:
    """Whether the request does more than look, or would."""
    return route.need_of(request).changes if route else request.head.method not in SAFE_METHODS
