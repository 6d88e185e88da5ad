"""What requests and answers are made of: the names of headers and media types, and the JSON of answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from bus.errors import AmbiguousEventError, BusError, WrongIndexError
from bus.event import Receipt

EVENT_ID = "X-BUS-EVENT-ID"
EVENT_CREATED_AT = "X-BUS-EVENT-CREATED-AT"
EVENT_INDEX = "X-BUS-EVENT-INDEX"
EVENT_COUNT = "X-BUS-EVENT-COUNT"
CONSUMER_ID = "X-BUS-CONSUMER-ID"
DURABILITY = "X-BUS-DURABILITY"
SCHEDULE_ID = "X-BUS-SCHEDULE-ID"

JSON = "application/json"
NDJSON = "application/x-ndjson"
SSE = "text/event-stream"
PROBLEM = "application/problem+json"
TEXT = "text/plain; charset=utf-8"

_encoder = msgspec.json.Encoder()


class Durability(StrEnum):
    """What a 202 stands for: on disk, handed to the operating system, or in memory alone; in a cluster that a majority
    of its nodes has it, in memory or on disk."""

    FSYNC = "fsync"
    OS = "os"
    MEMORY = "memory"
    REPLICATED = "replicated"
    REPLICATED_FSYNC = "replicated-fsync"


def encode_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Lines of the answer to an NDJSON publish."""
    return _encoder.encode_lines(receipts)


def encode_refusal(error: BusError) -> bytes:
    """The line that stands in for the receipt of an event that was refused."""
    body = {"error": error.message, "code": error.code, "status": error.status}
    receipt = getattr(error, "receipt", None)
    return msgspec.json.encode(body | ({"receipt": receipt} if receipt else {})) + b"\n"


def encode_problem(error: BusError) -> bytes:
    """The error as problem details (RFC 9457); ``code`` names its class for clients."""
    title = type(error).__name__.removesuffix("Error")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", title).lower()
    body: dict[str, str | int | Sequence[str]] = {
        "type": f"urn:bus:{error.code}", "title": words, "status": error.status, "detail": error.message,
    }  # fmt: skip
    if isinstance(error, WrongIndexError):
        body["actual"] = error.actual
    if isinstance(error, AmbiguousEventError):
        body["namespaces"] = error.namespaces
    return msgspec.json.encode(body | {"code": error.code})
