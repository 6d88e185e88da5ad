"""The events in what is sent to a subscriber that bring the context of a trace."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bus.frame import Format, json_of
from bus.tracing import TRACEPARENT, is_traced

_MARK = f'"{TRACEPARENT}":'.encode()


class TracedEvent(msgspec.Struct):
    """What a span tells of a delivered event."""

    id: str
    subject: str
    index: int
    headers: dict[str, str] = {}
    attempts: int = 0


_decode = msgspec.json.Decoder(TracedEvent).decode


def traced_events(data: bytes, format: Format) -> Sequence[TracedEvent]:
    """The events in *data* that bring a context; clients that get core fields alone get none."""
    if _MARK not in data:
        return ()
    if format is Format.NDJSON:
        lines = data.splitlines()
    else:
        lines = [json_of(frame + b"\n\n") for frame in data.split(b"\n\n") if frame]
    return [event for event in map(_decode, lines) if is_traced(event.headers)]
