"""The gate: the one place that every request passes before anything is done with it.

    request ─▶ route ─▶ its page ─▶ its connection ─▶ its parameters ─▶ handler

Whole bodies come here when they are complete, uploads before the first line of them is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

from bus.server.api.route import Route, RouteTable
from bus.server.http.connection_limits import Admission
from bus.server.http.cross_origin import SAFE_METHODS, check_page
from bus.server.http.request import Request
from bus.server.http.responder import Responder


class Gate:
    """Lets requests through to the routes of *table*; pages of *origins* may change something."""

    def __init__(self, table: RouteTable, admission: Admission, origins: Sequence[str]) -> None:
        self._table = table
        self._admission = admission
        self._origins = origins

    def let_in(self, request: Request, responder: Responder) -> Route:
        """The route that *request* may take.

        Raises `ForbiddenError`, `OverloadedError`, `NotFoundError`, `MethodNotAllowedError`, `InvalidParameterError`.
        """
        route = self._table.find(request)
        if request.head.from_page:
            check_page(request, self._origins, changes=_changes(request, route))
        if self._admission.reserve:
            self.check_admission(request, responder)
        if route is None:
            raise self._table.refusal(request)
        if request.head.raw_query:
            route.check(request)
        return route

    def check_admission(self, request: Request, responder: Responder) -> None:
        """Raise `OverloadedError` if the connection was let in only to ask for something else."""
        if refusal := self._admission.refusal(responder.connection):
            responder.close = True
            if request.head.path not in self._table.probes:
                raise refusal

    def __repr__(self) -> str:
        return f"<Gate to {self._table!r}>"


def _changes(request: Request, route: Route | None) -> bool:
    """Whether the request does more than look, or would."""
    return route.need_of(request).changes if route else request.head.method not in SAFE_METHODS
