"""Subscriptions fed by hand: bytes for the network, and what is asked of a stream again and again."""

from __future__ import annotations

from typing import Any

from bus.client.core.delivery import Delivered
from bus.client.core.get_options import GetOptions
from bus.client.core.request import Acknowledgement
from bus.client.core.response import Response
from bus.client.core.stream import StreamState
from bus.frame import encode_frame
from bus.sse import encode_event

OPEN = encode_event(
    "open", {"consumer_id": "c_1", "namespace": "app", "first_index": 1, "next_index": 5}, retry_ms=1000
)


HEAD = Response(200, {b"content-type": b"text/event-stream", b"x-bus-consumer-id": b"c_1"})


def frame(index: int, payload: bytes = b"null", **attempts: int) -> bytes:
    extra = b',"attempts":%d' % attempts["attempts"] if attempts else b""
    return encode_frame(f"e_{index}", b"app.a", payload, "2026-01-31T12:00:00Z", index, extra)


def state(**options: Any) -> StreamState[Delivered]:
    """A stream that is connected for the first time."""
    made = StreamState(GetOptions(subjects=("app.*",), **options), Delivered)
    made.connected(HEAD)
    return made


def acked(event: Delivered) -> Acknowledgement:
    return Acknowledgement(event.consumer_id, [event.id])


def repeated(stream: StreamState[Delivered]) -> list[tuple[str, list[str]]]:
    """What is to be said of events that came again."""
    return [(said.action, list(said.event_ids)) for said in stream.late.due()]


def reconnected(stream: StreamState[Delivered]) -> tuple[dict[str, str], str]:
    """Break the connection; returns what the next one asks for."""
    stream.disconnected()
    parameters, last_event_id = stream.target()
    stream.connected(HEAD)
    asked = dict(parameters)
    assert ("worker" in asked) is stream.options.manual
    asked.pop("worker", None)
    return asked, last_event_id


def taken(stream: StreamState[Delivered]) -> list[int]:
    found = []
    while (event := stream.pop()) is not None:
        found.append(event.index)
    return found


def take_all(stream: StreamState[Delivered]) -> list[Delivered]:
    return list(iter(stream.pop, None))
