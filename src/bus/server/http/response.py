"""Responses: bytes of heads and bodies."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from bus.errors import (
    BusError,
    DuplicateKeyError,
    MethodNotAllowedError,
    TimedOutError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedEncodingError,
    WrongIndexError,
)
from bus.event import Receipt
from bus.wire import (
    DURABILITY,
    EVENT_COUNT,
    EVENT_CREATED_AT,
    EVENT_ID,
    EVENT_INDEX,
    JSON,
    PROBLEM,
    TEXT,
    Durability,
    encode_problem,
)

_JSON: Final = f"Content-Type: {JSON}\r\n"
_ID: Final = f"{EVENT_ID}: "
_CREATED_AT: Final = f"\r\n{EVENT_CREATED_AT}: "
_INDEX: Final = f"\r\n{EVENT_INDEX}: "
_COUNT: Final = f"\r\n{EVENT_COUNT}: "
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_DURABILITY: Final = {durability: f"\r\n{DURABILITY}: {durability}\r\n" for durability in Durability}

Headers = Mapping[str, str | int]


def encode_head(status: int, headers: str, *, length: int | None, close: bool) -> bytes:
    """The head of a response. *length* None means that the body's end is marked otherwise."""
    if (now := int(time.time())) != _date.second:
        _date.renew(now)
    size = "" if length is None else f"Content-Length: {length}\r\n"
    connection = "Connection: close\r\n" if close else ""
    return f"{_STATUS_LINES[status]}{_date.line}{headers}{size}{connection}\r\n".encode()


def format_headers(headers: Headers) -> str:
    """Header lines. Values are ours or checked by the time they are here: no CR, LF or NUL gets this far."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def receipt_headers(receipt: Receipt) -> dict[str, str | int]:
    return {EVENT_ID: receipt.id, EVENT_CREATED_AT: receipt.created_at, EVENT_INDEX: receipt.index}


def format_answered(receipt: Receipt) -> str:
    """The header lines of a 200 that is JSON and tells what others made of an event."""
    return f"{_JSON}{_ID}{receipt.id}{_CREATED_AT}{receipt.created_at}{_INDEX}{receipt.index}\r\n"


def format_accepted(receipts: Sequence[Receipt], durability: Durability) -> str:
    """The header lines of a 202 to a publish: they describe the last event."""
    last = receipts[-1]
    return (
        f"{_ID}{last.id}{_CREATED_AT}{last.created_at}{_INDEX}{last.index}{_COUNT}{len(receipts)}"
        f"{_DURABILITY[durability]}"
    )


def encode_error(error: BusError, *, as_problem: bool) -> tuple[str, bytes]:
    """Header lines and body that answer *error*: one line of text, or problem details (RFC 9457)."""
    headers: dict[str, str | int] = {"Content-Type": PROBLEM if as_problem else TEXT}
    if isinstance(error, DuplicateKeyError | TimedOutError) and error.receipt:
        headers |= receipt_headers(error.receipt)
    if isinstance(error, WrongIndexError):
        headers[EVENT_INDEX] = error.actual
    if isinstance(error, UnauthorizedError):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, MethodNotAllowedError):
        headers["Allow"] = error.allowed
    if isinstance(error, UnsupportedEncodingError):
        headers["Accept-Encoding"] = "gzip, identity"
    if isinstance(error, UnavailableError):
        headers["Retry-After"] = error.retry_after
    line = " ".join(error.message.split()).encode()
    return format_headers(headers), encode_problem(error) if as_problem else line + b"\n"


class _Date:
    """The Date header's line, made once a second."""

    __slots__ = ("line", "second")

    def __init__(self) -> None:
        self.renew(0)

    def renew(self, second: int) -> None:
        self.second = second
        self.line = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime(second))


_date: Final = _Date()
