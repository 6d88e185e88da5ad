"""Stored events as objects, and what becomes of one that can't be.

frame ──msgspec──▶ event
  │
  └─ fails ──▶ the same without its payload ──json──▶ event, odd numbers as Decimal
                 │
                 └─ fails ──▶ UndecodableEventError, with all that could be read
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from math import isinf
from typing import Any, Generic, TypeVar

import msgspec

from bus.client.core.delivery import D, Delivered
from bus.errors import InvalidEventError
from bus.event import Event
from bus.sse import ServerSentEvent, read_block

E = TypeVar("E", bound=Event)

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError, InvalidOperation)
_LONGEST_INTEGER = 4300
"""Digits of which Python makes an int at once; reading more takes time that grows with their square."""


def read_payload(data: bytes) -> Any:
    """Any JSON that Python has something for. Raises one of `UNREADABLE`."""
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return decode_oddly(data)


def decode_oddly(data: bytes) -> Any:
    """JSON with numbers beyond a float, or longer than Python likes integers to be."""
    return json.loads(data, parse_float=_float, parse_int=_integer)


class UndecodableEventError(InvalidEventError):
    """An event that came but can't be read: its payload isn't of the type asked for, or its fields are odd.

    The subscription goes on behind it.

    Attributes:
        event: what could be read of it, its payload as ``msgspec.Raw``; it can be rejected or acknowledged.
    """

    code = "undecodable-event"

    def __init__(self, message: str, *, event: Delivered) -> None:
        super().__init__(message)
        self.event = event

    def __reduce__(self) -> tuple[type[InvalidEventError], tuple[str]]:
        """The delivery stays with its connection, in this process."""
        return InvalidEventError, (self.message,)


class EventDecoder(Generic[D]):
    """Makes events of the JSON in frames, as objects of *kind* with payloads of *payload_type*."""

    __slots__ = ("_any", "_decode", "_decode_envelope", "_kind")

    def __init__(self, kind: type[D], payload_type: Any) -> None:
        self._kind = kind
        self._any = payload_type is Any
        self._decode: Callable[[bytes], D] = msgspec.json.Decoder(typed(kind, payload_type)).decode
        self._decode_envelope: Callable[[bytes], D] | None = None  # made when first needed

    def decode(self, frames: Sequence[bytes], blocks: Sequence[bytes]) -> Iterator[list[D] | UndecodableEventError]:
        """The events in *frames*, many at once because there may be hundreds of thousands a second.

        *blocks* are what the frames were cut out of, where each has one line of data.
        """
        try:
            events = [self._decode(frame) for frame in frames]
        except UNREADABLE:
            yield from map(self._decode_block, blocks)
        else:
            yield events

    def _decode_block(self, block: bytes) -> list[D] | UndecodableEventError:
        found = read_block(block)
        assert found is not None
        try:
            return [self._decode(found.data)]
        except UNREADABLE as error:
            return self._decode_oddly(found, " ".join(str(error).split()))

    def _decode_oddly(self, found: ServerSentEvent, reason: str) -> list[D] | UndecodableEventError:
        try:
            event = self._envelope(found.data)
        except UNREADABLE:
            return _undecodable(self._kind(id=found.id, subject="", payload=msgspec.Raw(b"null")), reason)
        if not self._any:
            return _undecodable(event, reason)
        try:
            event.payload = decode_oddly(bytes(event.payload))
        except UNREADABLE:
            return _undecodable(event, reason)
        return [event]

    def _envelope(self, frame: bytes) -> D:
        """The event with its payload left as it is."""
        if self._decode_envelope is None:
            self._decode_envelope = msgspec.json.Decoder(typed(self._kind, msgspec.Raw)).decode
        return self._decode_envelope(frame)

    def __repr__(self) -> str:
        return f"<EventDecoder of {self._kind.__name__}>"


def _undecodable(event: D, reason: str) -> UndecodableEventError:
    where = f" at index {event.index}" if event.index else ""
    return UndecodableEventError(f"event {event.id}{where} can't be decoded: {reason}", event=event)


def _float(text: str) -> float | Decimal:
    """A number beyond what a float holds stays what it is."""
    number = float(text)
    return Decimal(text) if isinf(number) else number


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= _LONGEST_INTEGER else Decimal(text)


def typed(kind: type[E], payload_type: Any) -> type[E]:
    """*kind* with payloads decoded as *payload_type*."""
    if payload_type is Any:
        return kind
    fields: list[tuple[str, Any] | tuple[str, Any, Any]]
    fields = [("id", str), ("subject", str), ("payload", payload_type, msgspec.Raw(b"null"))]
    return msgspec.defstruct(kind.__name__, fields, bases=(kind,), dict=True)  # type: ignore[return-value]
