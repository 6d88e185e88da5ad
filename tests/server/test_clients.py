"""Readers of server-sent events that others wrote, each on a real stream: open, messages, resuming, the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import httpx
import httpx_sse
import msgspec
import pytest
import requests
import requests_sse
import sseclient

from tests.server.support import stored, target
from tests.support import PATIENCE, ServerProcess

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as a client reports it."""

    kind: str
    data: str
    id: str


def _httpx_sse(url: str, headers: dict[str, str]) -> Iterator[Heard]:
    with (
        httpx.Client(timeout=PATIENCE, headers=headers) as client,
        httpx_sse.connect_sse(client, "GET", url) as source,
    ):
        for event in source.iter_sse():
            yield Heard(event.event, event.data, event.id)


def _sseclient(url: str, headers: dict[str, str]) -> Iterator[Heard]:
    with requests.get(url, stream=True, headers=headers, timeout=PATIENCE) as answer:
        for event in sseclient.SSEClient(answer.iter_content(None)).events():
            yield Heard(event.event, event.data, event.id or "")


def _requests_sse(url: str, headers: dict[str, str]) -> Iterator[Heard]:
    with requests_sse.EventSource(url, headers=headers, timeout=PATIENCE, max_connect_retry=0) as source:
        for event in source:
            yield Heard(event.type, event.data, event.last_event_id)


Listen = Callable[[str, dict[str, str]], Iterator[Heard]]


@pytest.fixture(params=[_httpx_sse, _sseclient, _requests_sse], ids=["httpx-sse", "sseclient-py", "requests-sse"])
def listen(request: pytest.FixtureRequest) -> Listen:
    """A function that yields the events of a stream as one client reports them."""
    found: Listen = request.param
    return found


def _until_done(events: Iterable[Heard]) -> list[Heard]:
    """The events up to the last word of the stream."""
    heard: list[Heard] = []
    for event in events:
        heard.append(event)
        if event.kind == "done":
            break
    return heard


def test_a_client_hears_what_was_published(bus: ServerProcess, subject: str, listen: Listen) -> None:
    ids = [stored(bus, subject, {"text": "ü\n\u2028", "n": number}) for number in range(3)]
    opened, *events, done = _until_done(listen(bus.url + target(subject, start="oldest", limit=3), {}))
    assert (opened.kind, done.kind) == ("open", "done")
    assert [(event.kind, event.id) for event in events] == [("msg", event_id) for event_id in ids]
    payloads: list[Any] = [msgspec.json.decode(event.data)["payload"] for event in events]
    assert payloads == [{"text": "ü\n\u2028", "n": number} for number in range(3)]


def test_a_client_resumes_where_it_was(bus: ServerProcess, subject: str, listen: Listen) -> None:
    ids = [stored(bus, subject, number) for number in range(4)]
    url = bus.url + target(subject, start="oldest", follow="false")
    heard = _until_done(listen(url, {"Last-Event-ID": ids[1]}))
    assert [event.id for event in heard if event.kind == "msg"] == ids[2:]


def test_a_client_hears_events_as_they_come(bus: ServerProcess, subject: str, listen: Listen) -> None:
    """Each event is published once the one before it was heard, so none may be held back on the way."""
    heard = []
    for event in listen(bus.url + target(subject), {}):
        heard.append(event.kind)
        if len(heard) == 4:
            break
        stored(bus, subject)
    assert heard == ["open", "msg", "msg", "msg"]


def test_heartbeats_are_not_heard(bus: ServerProcess, subject: str, listen: Listen) -> None:
    """Two deliveries of one event, with a heartbeat or more between them."""
    stored(bus, subject)
    url = bus.url + target(subject, start="oldest", ack="manual", redelivery="2500ms", redelivery_count=2)
    assert [event.kind for event in islice(listen(url, {}), 3)] == ["open", "msg", "msg"]
