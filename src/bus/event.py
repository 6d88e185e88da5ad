"""Events and drafts: the nouns that travel.

A publisher sends a `Draft`; once stored it has an index, an id and a time, which its ``Receipt`` names;
a subscriber receives the `Event`.

An id made by Bus carries the event's index, so that finding the event again is arithmetic:

    e_ 00000000002a 7f3k9q2xw0
    │  │            └ lot: 10 characters drawn at random when the namespace was opened
    │  └ index, 12 hexadecimal digits
    └ marks an event (a consumer's id begins with c_)

The lot tells apart two events that had the same index because the first was lost in a power cut
(which happens only when nobody was promised that it is stored).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from bus.errors import InvalidEventError
from bus.receipt import Receipt as Receipt
from bus.units import BEGINNING, NEVER, SECOND_NS, parse_duration, parse_time

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
is_id = _ID.fullmatch
"""Whether a text can be an id."""

_MADE_ID = re.compile(r"e_([0-9a-f]{12})[0-9a-z]{10}", re.ASCII)
_MADE_IDS = re.compile(rf"(?:{_MADE_ID.pattern}\n)*+", re.ASCII)
_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
NO_TIME = "0001-01-01T00:00:00Z"
"""What a client sends whose language has no empty time; it counts as not given."""

LONGEST_LABEL = 1024

MOST_HEADERS = 64
MOST_HEADER_BYTES = 8192
"""Of an event: how many, and all their names and values together in UTF-8."""

_is_token = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII).fullmatch
"""RFC 9110, section 5.6.2: what a header of HTTP may be called."""


class Draft(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """An event as a publisher sends it. Empty strings and the zero time mean "not given".

    A field that isn't one of these is refused: a misspelt ``key`` would otherwise be no key.
    """

    subject: str | None = None
    payload: msgspec.Raw = msgspec.Raw(b"null")
    id: str | None = None
    key: str | None = None
    trace_id: str | None = None
    response_subject: str | None = None
    created_at: str | None = None
    headers: dict[str, str] | None = None
    ttl: str | None = None
    deliver_at: str | None = None

    def time(self, now: int) -> int:
        """When the event happened, in ns: what the publisher says, else *now*."""
        if not self.created_at or self.created_at == NO_TIME:
            return now
        return parse_time(self.created_at)


class Dead(msgspec.Struct, frozen=True):
    """What befell an event that a durable consumer gave up.

    Attributes:
        consumer: the durable consumer.
        id: the event's id.
        subject: the event's subject.
        index: the event's place in its namespace.
        attempts: how often it was delivered.
        reason: why it was given up.
    """

    consumer: str
    id: str
    subject: str
    index: int
    attempts: int
    reason: str


class Event(msgspec.Struct):
    """An event as a subscriber receives it.

    Attributes:
        id: names it, ``e_…`` unless the publisher brought one of its own.
        subject: what it is about.
        payload: the decoded JSON.
        created_at: its time, RFC 3339 in UTC.
        index: its place in its namespace: 1, 2, 3 …
        key: given by the publisher, else empty; so are the next two.
        trace_id: given by the publisher.
        response_subject: the inbox that a reply goes to.
        headers: what the publisher sent along beside the payload, such as ``traceparent``.
        ttl: for how long after its time it is delivered, such as ``15m``; empty for ever.
        attempts: deliveries to this consumer, this one included; 0 on a subscription that doesn't acknowledge.
        error: on a reply that stands for a failure, the reason.
        dead: on a dead letter, the event it stands for and why that was given up.
    """

    id: str
    subject: str
    payload: Any = None
    created_at: str = ""
    index: int = 0
    key: str = ""
    trace_id: str = ""
    response_subject: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    ttl: str = ""
    attempts: int = 0
    error: str = ""
    dead: Dead | None = None


def check_id(text: str, what: str = "event id") -> str:
    """Return *text* if it can be an id, raise `InvalidEventError` otherwise."""
    if not is_id(text):
        raise InvalidEventError(id_fault(text, what))
    return text


def id_fault(text: str, what: str) -> str:
    """What is wrong with *text*, which isn't an id; *what* says what it was meant to be."""
    return f"{what} {text[:80]!a} is malformed: 1 to 128 letters, digits, '_' or '-'"


def check_label(text: str, what: str) -> str:
    """Return a key or trace id of bearable length, raise `InvalidEventError` otherwise."""
    if len(text) > LONGEST_LABEL:
        raise InvalidEventError(f"{what} is {len(text)} characters long: {LONGEST_LABEL} is the most")
    return text


def check_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return *headers* if their names are tokens and they are bearable, raise `InvalidEventError` otherwise."""
    if len(headers) > MOST_HEADERS:
        raise InvalidEventError(f"the event has {len(headers)} headers: {MOST_HEADERS} are the most")
    if odd := [name for name in headers if not _is_token(name)]:
        raise InvalidEventError(f"header {odd[0][:80]!a} is misnamed: use letters, digits and any of !#$%&'*+-.^_`|~")
    size = sum([len(text.encode()) for header in headers.items() for text in header])
    if size > MOST_HEADER_BYTES:
        raise InvalidEventError(f"the event's headers are {size} bytes: {MOST_HEADER_BYTES} are the most")
    return headers


def with_headers(headers: Mapping[str, str] | None, more: Mapping[str, str]) -> dict[str, str] | None:
    """*headers* with *more*, or without where they would be more than an event may have; None if there are none."""
    both = {**(headers or {}), **more}
    try:
        check_headers(both)
    except (InvalidEventError, AttributeError):  # the latter is of a value that is no text, which is refused later
        both = dict(headers or {})
    return both or None


def expiry(ttl: str, created_at: int) -> int:
    """When an event of the time *created_at* (ns) expires, in ns as far as these fit into 64 bits.

    Raises `InvalidParameterError` or `InvalidEventError` if *ttl* is no duration above 0.
    """
    lifetime = int(parse_duration(ttl) * SECOND_NS)
    if not lifetime:
        raise InvalidEventError(f"ttl {ttl[:80]!a} is no time to live: give more than 0, or no ttl")
    return min(max(created_at + lifetime, BEGINNING), NEVER)


def id_maker() -> Callable[[int], str]:
    """A function that makes the id of the event with a given index, for one opening of a namespace."""
    return made_by(new_lot())


def new_lot() -> str:
    """What ends the ids of one opening of a namespace."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(10))


def made_by(lot: str) -> Callable[[int], str]:
    """A function that makes the id of the event with a given index, which ends in *lot*."""
    return f"e_%012x{lot}".__mod__


def index_in(event_id: str) -> int | None:
    """The index that *event_id* carries, or None if Bus didn't make it."""
    found = _MADE_ID.fullmatch(event_id)
    return int(found[1], 16) if found else None


def carry_indexes(event_ids: Sequence[str], first: int) -> bool:
    """Whether Bus made all of *event_ids* and they carry the indexes from *first* on: `index_in` for many at once."""
    if not _MADE_IDS.fullmatch("\n".join([*event_ids, ""])):
        return False
    return [int(made[2:14], 16) for made in event_ids] == [*range(first, first + len(event_ids))]


def new_consumer_id() -> str:
    return f"c_{secrets.token_hex(12)}"
