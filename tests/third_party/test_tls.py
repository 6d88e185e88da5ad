"""Clients that nobody here wrote, straight to a server with TLS."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Browser

from tests.authority import Authority
from tests.conftest import StartServer
from tests.proxies.support import Proxy
from tests.server.support import stored
from tests.support import PATIENCE, ServerProcess
from tests.third_party.client import InBrowser, InNode, InPython, ThirdPartyClient, hear
from tests.third_party.conftest import need_packages
from tests.third_party.readers import READERS

TRUST = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""Where these clients look for authorities."""


@pytest.fixture
def server(start_server: StartServer, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    """A server with TLS, whose authority is known to all that this process starts."""
    for variable in TRUST:
        monkeypatch.setenv(variable, str(authority.path))
    return start_server(flags=["--heartbeat", "500ms"], authority=authority)


@pytest.mark.parametrize("name", READERS)
def test_it_goes_on_over_a_restart(server: ServerProcess, name: str) -> None:
    _check_resuming(server, InPython(server.url, READERS[name]))


def test_node_goes_on_over_a_restart(server: ServerProcess) -> None:
    need_packages()
    client = InNode(server.url)
    try:
        _check_resuming(server, client)
    finally:
        client.close()


def _check_resuming(server: ServerProcess, client: ThirdPartyClient) -> None:
    """Over a crash and an orderly restart: nothing is lost and nothing comes twice."""
    ids = [stored(server, "app.test", number) for number in range(3)]
    client.listen("app.>", start="oldest")
    heard = hear(client, 2)
    server.restart()
    ids.append(client.publish("app.test", 3))
    heard += hear(client, 2)
    server.stop()
    server.start()
    ids.append(client.publish("app.test", 4))
    heard += hear(client, 1)
    assert [event.id for event in heard] == ids


@pytest.mark.parametrize("kind", ["EventSource", "fetchEventSource"])
def test_a_page_goes_on_over_a_restart(server: ServerProcess, browser: Browser, site: Proxy, kind: str) -> None:
    """A page of another origin."""
    need_packages()
    with browser.new_page(ignore_https_errors=True) as page:
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{site.url}/js/page.html")
        page.wait_for_function("window.calls")
        _check_resuming(server, InBrowser(server.url, page, kind))


def test_a_browser_listens_and_publishes(server: ServerProcess, browser: Browser) -> None:
    stored(server, "app.test", 1)
    with browser.new_page(ignore_https_errors=True) as page:
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{server.url}/healthz")
        page.evaluate(
            """() => {
                window.heard = []
                new EventSource("/?subject=app.>&start=oldest").addEventListener("msg", event => heard.push(event.data))
            }"""
        )
        body = json.dumps({"subject": "app.test", "payload": 2})
        status = page.evaluate("async body => (await fetch('/', {method: 'POST', body})).status", body)
        page.wait_for_function("heard.length == 2")
        assert (status, [json.loads(data)["payload"] for data in page.evaluate("heard")]) == (202, [1, 2])
