"""CORS: the header lines that let web pages of other origins see an answer (WHATWG Fetch, CORS protocol)."""

from __future__ import annotations

from collections.abc import Sequence

from bus.wire import CONSUMER_ID, DURABILITY, EVENT_COUNT, EVENT_CREATED_AT, EVENT_ID, EVENT_INDEX, SCHEDULE_ID

_EXPOSED = ", ".join(
    (EVENT_ID, EVENT_CREATED_AT, EVENT_INDEX, EVENT_COUNT, CONSUMER_ID, DURABILITY, SCHEDULE_ID, "Retry-After")
)
_PREFLIGHT = (
    "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n"
    f"Access-Control-Allow-Headers: Content-Type, Accept, Authorization, Cache-Control, Last-Event-ID, "
    f"traceparent, tracestate, {_EXPOSED}\r\n"
    "Access-Control-Max-Age: 86400\r\n"
)


class Cors:
    """Which web origins may use the server: all of them for ``*``.

    Those that are named may send cookies along. Where origins are restricted, every answer says that it depends on the
    origin, lest a cache hands one page what was meant for another: ``vary`` is the header line of answers to requests
    that name no origin.
    """

    __slots__ = ("_everyone", "origins", "vary")

    def __init__(self, origins: Sequence[str]) -> None:
        self.origins = tuple(origins)
        self._everyone = "*" in self.origins
        self.vary = "" if self._everyone else "Vary: Origin\r\n"

    def headers(self, origin: str, *, preflight: bool = False) -> str:
        """Header lines for a request from *origin*."""
        if not (self._everyone or origin in self.origins):
            return self.vary
        allowed = "*" if self._everyone else origin
        lines = (
            f"Access-Control-Allow-Origin: {allowed}\r\nAccess-Control-Expose-Headers: {_EXPOSED}\r\nVary: Origin\r\n"
        )
        if not self._everyone:
            lines += "Access-Control-Allow-Credentials: true\r\n"
        return lines + (_PREFLIGHT if preflight else "")

    def __repr__(self) -> str:
        return f"<Cors for {', '.join(sorted(self.origins))}>"
