"""What answers mean: receipts, replies and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from bus.client.core.decode import UNREADABLE, read_payload
from bus.client.core.response import Response
from bus.client.core.retry import Retry
from bus.errors import (
    AmbiguousEventError,
    BusError,
    ConflictError,
    ConnectionFailedError,
    DuplicateKeyError,
    ForbiddenError,
    InvalidError,
    MisdirectedError,
    NotFoundError,
    ServiceError,
    TimedOutError,
    TooLargeError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    WrongIndexError,
    error_class,
)
from bus.event import Receipt
from bus.wire import EVENT_CREATED_AT, EVENT_ID, EVENT_INDEX, SCHEDULE_ID

_ID, _CREATED_AT, _INDEX, _SCHEDULE_ID = (
    name.lower().encode() for name in (EVENT_ID, EVENT_CREATED_AT, EVENT_INDEX, SCHEDULE_ID)
)
T = TypeVar("T")

_LONGEST_SHOWN = 300
_LONGEST_READ = 4 * _LONGEST_SHOWN
_LONGEST_NUMBER = 18
_LONGEST_WAIT = 4

LONGEST_RETRY_AFTER = 3600
"""Seconds that an answer can have a client wait for."""

LONGEST_RECEIPT = 1 << 20
"""Bytes of one line of the answer to an NDJSON publish."""

# For what answers without a code: proxies, and servers of the same protocol that are not ours.
_BY_STATUS: dict[int, type[BusError]] = {
    400: InvalidError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    412: WrongIndexError,
    413: TooLargeError,
    421: MisdirectedError,
    429: TooManyRequestsError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


class _Problem(msgspec.Struct):
    detail: str = ""
    code: str = ""
    namespaces: list[str] = []


class _Refusal(msgspec.Struct):
    """The line that stands in for a receipt."""

    error: str
    code: str = ""
    status: int = 500
    receipt: Receipt | None = None


_problem_decoder = msgspec.json.Decoder(_Problem)
_receipts_decoder = msgspec.json.Decoder(Receipt)


def receipt_in(response: Response) -> Receipt:
    """The receipt in the headers of a successful answer; otherwise raises the error it tells of."""
    if response.status not in (200, 202):
        raise error_in(response)
    receipt = _receipt(response)
    if receipt is None:
        raise ConnectionFailedError(f"answered {response.status} without a receipt: is this a Bus server?")
    return receipt


def own_receipt(error: DuplicateKeyError, retry: Retry) -> Receipt:
    """The receipt of an event whose key was processed before because it was sent again; else raises *error*."""
    if retry.uncertain and error.receipt:
        return error.receipt
    raise error


def payload_in(response: Response) -> Any:
    """The decoded body of a successful answer, None when it is empty; otherwise raises the error it tells of."""
    check(response)
    try:
        return read_payload(response.body) if response.body else None
    except UNREADABLE as error:
        raise ServiceError(f"the reply is not JSON: {error}") from None


def answer_as(kind: type[T]) -> Callable[[Response], T]:
    """What reads the body of a successful answer as a *kind*; otherwise it raises the error that it tells of."""

    def read(response: Response) -> T:
        check(response)
        try:
            return msgspec.json.decode(response.body, type=kind)
        except UNREADABLE as error:
            raise ConnectionFailedError(f"the answer can't be read ({error}): is this a Bus server?") from None

    return read


def check(response: Response) -> None:
    """Raise the error that *response* tells of, if it does."""
    if not 200 <= response.status < 300:
        raise error_in(response)


def error_in(response: Response) -> BusError:
    """The error that a refusing answer tells of, as the class the server raised."""
    problem = _problem(response)
    kind = error_class(problem.code) or _BY_STATUS.get(response.status, BusError)
    message = problem.detail or f"the server answered {response.status}"
    if issubclass(kind, UnavailableError) and (seconds := _number(response.headers.get(b"retry-after", b""))):
        return kind(message, retry_after=min(seconds, LONGEST_RETRY_AFTER))
    if issubclass(kind, WrongIndexError):
        return kind(message, actual=_number(response.headers.get(_INDEX, b"")))
    if issubclass(kind, AmbiguousEventError):
        return kind(message, namespaces=problem.namespaces)
    return _error(kind, message, _receipt(response))


def _error(kind: type[BusError], message: str, receipt: Receipt | None) -> BusError:
    if issubclass(kind, DuplicateKeyError | TimedOutError):
        return kind(message, receipt=receipt)
    return kind(message)


def _number(text: bytes) -> int:
    """A whole number, 0 for anything else."""
    return int(text) if text.isdigit() and len(text) <= _LONGEST_NUMBER else 0


def _problem(response: Response) -> _Problem:
    try:
        problem = _problem_decoder.decode(response.body)
    except UNREADABLE:
        problem = _Problem(detail=response.body[:_LONGEST_READ].decode("utf-8", "replace"))
    problem.detail = " ".join(problem.detail.split())[:_LONGEST_SHOWN]
    return problem


def _receipt(response: Response) -> Receipt | None:
    headers = response.headers
    if _ID not in headers:
        return None
    return Receipt(
        headers[_ID].decode("latin-1"),
        headers.get(_CREATED_AT, b"").decode("latin-1"),
        _number(headers.get(_INDEX, b"")),
        headers.get(_SCHEDULE_ID, b"").decode("latin-1"),
    )


class OutcomeReader:
    """Reads the answer to an NDJSON publish, cut anywhere: a receipt or an error for each event, in order."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Receipt | BusError]:
        """Take in the next bytes and return the outcomes they complete. Raises `ConnectionFailedError`."""
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        if len(self._rest) > LONGEST_RECEIPT:
            raise ConnectionFailedError("a receipt is longer than 1 MiB: is this a Bus server?")
        try:
            return self._read(whole)
        except UNREADABLE as error:
            raise ConnectionFailedError(f"the answer holds no receipts ({error}): is this a Bus server?") from None

    def _read(self, whole: bytes) -> list[Receipt | BusError]:
        # Nearly always every line is a receipt; none can hold this text.
        if b'"error":' not in whole:
            return _receipts_decoder.decode_lines(whole)  # type: ignore[return-value]
        return [_outcome(line) for line in whole.splitlines() if line]

    def __repr__(self) -> str:
        return f"<OutcomeReader holding {len(self._rest)} bytes of an unfinished line>"


def _outcome(line: bytes) -> Receipt | BusError:
    if b'"error":' not in line:
        return _receipts_decoder.decode(line)
    refusal = msgspec.json.decode(line, type=_Refusal)
    kind = error_class(refusal.code) or _BY_STATUS.get(refusal.status, BusError)
    return _error(kind, refusal.error, refusal.receipt)
