"""Responses: bytes of heads and bodies, with what CORS asks for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from bus.errors import (
    BusError,
    DuplicateKeyError,
    MethodNotAllowedError,
    TimedOutError,
    UnavailableError,
    UnsupportedEncodingError,
)
from bus.event import Receipt
from bus.wire import (
    CONSUMER_ID,
    DURABILITY,
    EVENT_COUNT,
    EVENT_CREATED_AT,
    EVENT_ID,
    EVENT_INDEX,
    PROBLEM,
    TEXT,
    Durability,
    encode_problem,
)

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_DURABILITY = {durability: f"{DURABILITY}: {durability}\r\n" for durability in Durability}
_EXPOSED = ", ".join((EVENT_ID, EVENT_CREATED_AT, EVENT_INDEX, EVENT_COUNT, CONSUMER_ID, DURABILITY, "Retry-After"))
_PREFLIGHT = (
    "Access-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, OPTIONS\r\n"
    f"Access-Control-Allow-Headers: Content-Type, Accept, Authorization, Cache-Control, Last-Event-ID, {_EXPOSED}\r\n"
    "Access-Control-Max-Age: 86400\r\n"
)

Headers = Mapping[str, str | int]


def encode_head(status: int, headers: str, *, length: int | None, close: bool) -> bytes:
    """The head of a response. *length* None means that the body's end is marked otherwise."""
    size = "" if length is None else f"Content-Length: {length}\r\n"
    connection = "Connection: close\r\n" if close else ""
    return f"{_STATUS_LINES[status]}{_date()}{headers}{size}{connection}\r\n".encode()


def format_headers(headers: Headers) -> str:
    """Header lines. Values are ours or checked by the time they are here: no CR, LF or NUL gets this far."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def receipt_headers(receipt: Receipt) -> dict[str, str | int]:
    return {EVENT_ID: receipt.id, EVENT_CREATED_AT: receipt.created_at, EVENT_INDEX: receipt.index}


def format_accepted(receipts: Sequence[Receipt], durability: Durability) -> str:
    """The header lines of a 202 to a publish: they describe the last event."""
    last = receipts[-1]
    return (
        f"{EVENT_ID}: {last.id}\r\n{EVENT_CREATED_AT}: {last.created_at}\r\n{EVENT_INDEX}: {last.index}\r\n"
        f"{EVENT_COUNT}: {len(receipts)}\r\n{_DURABILITY[durability]}"
    )


def encode_error(error: BusError, *, as_problem: bool) -> tuple[str, bytes]:
    """Header lines and body that answer *error*: one line of text, or problem details (RFC 9457)."""
    headers: dict[str, str | int] = {"Content-Type": PROBLEM if as_problem else TEXT}
    if isinstance(error, DuplicateKeyError | TimedOutError) and error.receipt:
        headers |= receipt_headers(error.receipt)
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = error.allowed
    if isinstance(error, UnsupportedEncodingError):
        headers["Accept-Encoding"] = "gzip, identity"
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = error.retry_after
    line = " ".join(error.message.split()).encode()
    return format_headers(headers), encode_problem(error) if as_problem else line + b"\n"


class Cors:
    """Which web origins may use the server: all of them for ``*`` (WHATWG Fetch, CORS protocol).

    Where they are restricted, every answer says that it depends on the origin, lest a cache hands one page what was
    meant for another: ``vary`` is the header line of answers to requests that name no origin.
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
        return lines + (_PREFLIGHT if preflight else "")

    def __repr__(self) -> str:
        return f"<Cors for {', '.join(sorted(self.origins))}>"


def _date() -> str:
    """The Date header, made once a second."""
    global _last_date
    now = int(time.time())
    if _last_date[0] != now:
        _last_date = now, time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(now))
    return _last_date[1]


_last_date: tuple[int, str] = (0, "")
