"""Retention and quotas, which JetStream keeps by itself: what goes, what is told of it, what isn't taken any more."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.jetstream.conftest import StartBus
from tests.nats.servers import Servers
from tests.server.support import draft, publish, read, refusal, upload
from tests.support import Listening, request, subscribe

EVENTS = 50
PAYLOAD = "x" * 10_000


def _fill(server: Listening, count: int = EVENTS) -> list[dict[str, Any]]:
    return upload(server, [draft("app.a", PAYLOAD) for _ in range(count)])


def _described(server: Listening) -> dict[str, Any]:
    answer = json.loads(request(server, "GET", "/v1/namespaces").body)
    return next(dict(one) for one in answer["namespaces"] if one["namespace"] == "app")


def _gap(server: Listening) -> dict[str, Any]:
    """What a subscriber is told first that begins with what is gone."""
    with subscribe(server, "app.>", start=1, follow="false") as stream:
        return dict(msgspec.json.decode(stream.take(1, "gap")[0].data))


@pytest.mark.parametrize(("keep", "left"), [("20", range(20, 21)), ("200KB", range(15, 21))], ids=["count", "bytes"])
def test_what_is_beyond_a_limit_goes(node: Servers, start_bus: StartBus, keep: str, left: range) -> None:
    server = start_bus(node, "--retention", f"app={keep}")
    _fill(server)
    found, events = _described(server), read(server, "app.>")
    first = EVENTS + 1 - len(events)
    assert len(events) in left and [event["index"] for event in events] == list(range(first, EVENTS + 1))
    assert (found["first_index"], found["next_index"], found["events"]) == (first, EVENTS + 1, len(events))
    assert len(events) * len(PAYLOAD) < found["bytes"] < (len(events) + 1) * (len(PAYLOAD) + 1000)
    gap = _gap(server)
    assert (gap["first_missing"], gap["last_missing"], gap["reason"]) == (1, first - 1, "expired")


def test_what_is_too_old_goes(node: Servers, start_bus: StartBus) -> None:
    server = start_bus(node, "--retention", "app=1s")
    assert _fill(server)[-1]["index"] == EVENTS
    while (found := _described(server))["events"]:
        pass
    assert (found["first_index"], found["next_index"], found["bytes"]) == (EVENTS + 1, EVENTS + 1, 0)
    publish(server, "app.a")
    gap = _gap(server)
    assert (gap["first_missing"], gap["reason"]) == (1, "expired") and gap["last_missing"] >= EVENTS


def test_a_full_quota_refuses_and_says_so(node: Servers, start_bus: StartBus) -> None:
    server = start_bus(node, "--quota", "app=200KB")
    answers = [publish(server, "app.a", PAYLOAD) for _ in range(30)]
    stored = [answer for answer in answers if answer.status == 202]
    assert 15 <= len(stored) < 20
    status, text = refusal(answers[-1])
    assert status == 507 and "has as many bytes as it may" in text
    found = _described(server)
    assert (found["first_index"], found["events"]) == (1, len(stored)) and found["bytes"] <= found["quota"] == 200_000
    assert len(read(server, "app.>")) == len(stored)


def test_a_larger_quota_takes_more(node: Servers, start_bus: StartBus) -> None:
    small = start_bus(node, "--quota", "app=100KB")
    while publish(small, "app.a", PAYLOAD).status == 202:
        pass
    small.close()
    assert publish(start_bus(node, "--quota", "app=1MB"), "app.a", PAYLOAD).status == 202
