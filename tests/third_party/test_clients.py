"""Clients that nobody here wrote publish, subscribe, resume and acknowledge, each in its own way."""

from __future__ import annotations

import json

from playwright.sync_api import Page

from tests.proxies.support import Proxy
from tests.server.support import stored
from tests.support import PATIENCE, ServerProcess
from tests.third_party.client import InBrowser, ThirdPartyClient, hear


def test_it_hears_what_it_publishes(client: ThirdPartyClient) -> None:
    """Each event is published once the one before it was heard, so none may be held back on the way."""
    client.listen("app.>")
    assert client.next().kind == "open"
    for payload in ["plain", {"text": "ü\n\u2028 "}, [1.5, None]]:
        event_id = client.publish("app.test", payload)
        (event,) = hear(client, 1)
        assert (event.id, json.loads(event.data)["payload"]) == (event_id, payload)


def test_it_resumes_where_it_was(server: ServerProcess, client: ThirdPartyClient) -> None:
    """Over a crash and an orderly restart: nothing is lost and nothing comes twice."""
    ids = [stored(server, "app.test", number) for number in range(5)]
    client.listen("app.>", start="oldest")
    heard = hear(client, 2)
    server.restart()
    ids += [stored(server, "app.test", number) for number in range(5, 8)]
    heard += hear(client, 5)
    server.stop()
    server.start()
    ids += [client.publish("app.test", 8)]
    heard += hear(client, 2)
    ids += [client.publish("app.test", 9)]
    heard += hear(client, 1)
    assert [event.id for event in heard] == ids


def test_it_resumes_behind_a_proxy_that_answered_for_the_server(server: ServerProcess, site: Proxy, page: Page) -> None:
    """The proxy says 502 while the server is away, which ends an `EventSource` for good."""
    client = InBrowser(f"{site.url}/bus", page, "EventSource")
    ids = [stored(server, "app.test")]
    client.listen("app.>", start="oldest")
    heard = hear(client, 1)
    with page.expect_response(lambda answer: answer.status == 502, timeout=PATIENCE * 1000):
        server.kill()
    server.start()
    ids += [stored(server, "app.test")]
    heard += hear(client, 1)
    assert [event.id for event in heard] == ids


def test_what_it_acknowledges_is_done(server: ServerProcess, client: ThirdPartyClient) -> None:
    """One event is in flight at once, so the next comes only when the one before it is acknowledged."""
    ids = [stored(server, "app.work", number) for number in range(3)]
    client.listen("app.work", start="oldest", ack="manual", redelivery="60s")
    consumer_id = json.loads(client.next().data)["consumer_id"]
    for event_id in ids:
        (event,) = hear(client, 1)
        assert event.id == event_id
        assert client.acknowledge(consumer_id, event_id) == 202


def test_heartbeats_are_not_heard(server: ServerProcess, client: ThirdPartyClient) -> None:
    """Two deliveries of one event, with a heartbeat or more between them."""
    event_id = stored(server, "app.work")
    client.listen("app.work", start="oldest", ack="manual", redelivery="1500ms", redelivery_count=2)
    heard = [client.next() for _ in range(3)]
    assert [(event.kind, event.id) for event in heard[1:]] == [("msg", event_id)] * 2
