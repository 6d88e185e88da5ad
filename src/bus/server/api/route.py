"""Routes: one method of one path each, with what it needs, the parameters it knows, and who answers.

What is to be known of a way into the server follows from the routes: where a request goes, what ``Allow`` says, which
parameters are refused, what a web page may not do unasked, and which rights it takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

from bus.errors import BusError, MethodNotAllowedError, NotFoundError
from bus.server.http.body import BodySink
from bus.server.http.query import check_parameters
from bus.server.http.request import Request
from bus.server.http.responder import Responder
from bus.server.http.response import format_headers

Respond = Callable[[Request, Responder], None]
"""Answers a request, now or later. Raises `BusError`."""

TakeLines = Callable[[Request, Responder, Callable[[], None]], BodySink]
"""Makes who takes a body of NDJSON as it comes, given what to call when it takes more. Raises `BusError`."""


class Need(StrEnum):
    """What somebody has to be allowed who asks for something."""

    NOTHING = "nothing"
    METRICS = "metrics"
    INSPECT = "inspect"
    WATCH = "watch"
    SUBSCRIBE = "subscribe"
    CONSUME = "consume"
    ACKNOWLEDGE = "acknowledge"
    PUBLISH = "publish"
    SIGN_IN = "sign in"
    SIGN_OUT = "sign out"
    MANAGE = "manage"

    @property
    def changes(self) -> bool:
        """Whether it is more than looking: a consumer's deliveries wait for an acknowledgement."""
        return self not in (Need.NOTHING, Need.METRICS, Need.INSPECT, Need.WATCH, Need.SUBSCRIBE)


@dataclass(frozen=True, slots=True)
class Route:
    """How one method of one path is answered; ``{name}`` in a path stands for any segment.

    A request may give each of ``once`` once, each of ``lists`` any number of times, and no others; with None for
    ``once`` all are passed over. A query that ``usual`` takes does so, at a glance. ``needs_by_query`` says what it
    needs where that depends on the parameters. ``take_lines`` takes bodies of NDJSON. A ``probe`` is answered also when
    the connections are used up.
    With ``takes_tickets`` a ticket may stand for a token. ``for_people`` is taken instead by a person who opens the
    address in a browser and asks for no subject.
    """

    method: bytes
    path: str
    needs: Need
    respond: Respond
    once: tuple[str, ...] | None = ()
    lists: tuple[str, ...] = ()
    usual: re.Pattern[bytes] | None = None
    needs_by_query: Callable[[Request], Need] | None = None
    take_lines: TakeLines | None = None
    takes_tickets: bool = False
    probe: bool = False
    for_people: Route | None = None

    def need_of(self, request: Request) -> Need:
        """What *request* needs. Raises `InvalidParameterError` if its query can't be read."""
        return self.needs_by_query(request) if self.needs_by_query else self.needs

    def check(self, request: Request) -> None:
        """Raise `InvalidParameterError` for parameters the route doesn't know, or that are given too often.

        *request* is told what its query says, if it is a usual one.
        """
        if self.usual and (found := self.usual.fullmatch(request.head.raw_query)):
            request.usual = found.groups()
        elif self.once is not None:
            check_parameters(request.query, once=self.once, repeated=self.lists)


Methods = Mapping[bytes, Route]
"""What there is at one path, by method."""


class RouteTable:
    """All routes. HEAD goes where GET does unless there is a route of its own, and OPTIONS says what goes at a path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        paths: dict[str, dict[bytes, Route]] = {}
        for route in routes:
            paths.setdefault(route.path, {})[route.method] = route
        complete = {path: _complete(path, methods) for path, methods in paths.items()}
        self._patterns = [(_pattern(path), complete.pop(path)) for path in paths if "{" in path]
        self._fixed: Mapping[str, Methods] = complete
        self.probes = frozenset(route.path for route in self if route.probe)

    def __iter__(self) -> Iterator[Route]:
        for methods in (*self._fixed.values(), *(methods for _, methods in self._patterns)):
            yield from methods.values()

    def find(self, request: Request) -> Route | None:
        """The route of *request*, which is told what stands in its path; None if there is none."""
        methods = self._fixed.get(request.head.path) or self._methods_by_pattern(request)
        route = methods.get(request.head.method)
        if route and route.for_people and request.head.section.wants_page and not request.parameter("subject"):
            return route.for_people
        return route

    def _methods_by_pattern(self, request: Request) -> Methods:
        for pattern, methods in self._patterns:
            if found := pattern.fullmatch(request.head.path):
                request.path_values = found.groupdict()
                return methods
        return {}

    def refusal(self, request: Request) -> BusError:
        """Why there is no route for *request*."""
        path = request.head.path
        methods = self._fixed.get(path) or self._methods_by_pattern(request)
        if not methods:
            return NotFoundError(f"path {path[:80]!a} doesn't exist: events are at /")
        method, allowed = request.head.method.decode(), _allowed(methods)
        return MethodNotAllowedError(f"{method} is not for {path}: use {allowed}", allowed=allowed)

    def __repr__(self) -> str:
        return f"<RouteTable of {len(self._fixed) + len(self._patterns)} paths>"


def _complete(path: str, methods: Mapping[bytes, Route]) -> Methods:
    """*methods* with those that follow from them."""
    head = {b"HEAD": replace(methods[b"GET"], method=b"HEAD")} if b"GET" in methods else {}
    found = {**head, **methods}
    return {b"OPTIONS": options_route(path, found.keys() | {b"OPTIONS"}), **found}


def options_route(path: str, methods: Iterable[bytes]) -> Route:
    """What answers OPTIONS of *path*, where *methods* are answered."""
    return Route(b"OPTIONS", path, Need.NOTHING, partial(_tell_methods, _allowed(methods)), once=None)


def _allowed(methods: Iterable[bytes]) -> str:
    """*methods* as ``Allow`` has them (RFC 9110, section 10.2.1)."""
    return b", ".join(sorted(methods)).decode()


def _tell_methods(allowed: str, request: Request, responder: Responder) -> None:
    responder.respond(204, format_headers({"Allow": allowed}), preflight=True)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
