"""Routes: what answers one method of one path, and the parameters it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bus.server.http.query import check_parameters
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers


@dataclass(frozen=True, slots=True)
class Route:
    """How one method of one path is answered.

    ``answer`` answers a request, now or later, and raises `BusError`. A request may give each of ``parameters`` once,
    each of ``lists`` any number of times, and no others. With None for ``parameters`` all are passed over.
    """

    answer: Callable[[Request, Responder], None]
    parameters: tuple[str, ...] | None = ()
    lists: tuple[str, ...] = ()

    def check(self, request: Request) -> None:
        """Raise `InvalidParameterError` for parameters the route doesn't know, or that are given too often."""
        if self.parameters is not None:
            check_parameters(request.query, once=self.parameters, repeated=self.lists)


def derived_route(routes: Mapping[bytes, Route], method: bytes) -> Route | None:
    """What answers a method that *routes* don't name: HEAD goes where GET does, and OPTIONS everywhere."""
    if method == b"OPTIONS":
        return Route(partial(_tell_methods, allowed_methods(routes)), parameters=None)
    return routes.get(b"GET") if method == b"HEAD" else None


def allowed_methods(routes: Mapping[bytes, Route]) -> str:
    """The methods that are answered, as ``Allow`` has them (RFC 9110, section 10.2.1)."""
    derived = {b"OPTIONS", b"HEAD"} if b"GET" in routes else {b"OPTIONS"}
    return b", ".join(sorted(derived | routes.keys())).decode()


def _tell_methods(allowed: str, request: Request, responder: Responder) -> None:
    responder.respond(204, format_headers({"Allow": allowed}), preflight=True)
