"""``EventSource`` in Chromium, for pages that have signed in: by a cookie and by tickets, of this origin and others."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.conftest import StartServer
from tests.docs.blocks import ROOT, blocks_of
from tests.server.access import TokenFile, publish
from tests.support import PATIENCE, ServerProcess

FOLLOW = """
window.heard = []
window.follow = (url, options) => {
    window.source = new EventSource(url, options)
    window.source.addEventListener('open', () => window.heard.push('open'))
    window.source.addEventListener('msg', event => window.heard.push(JSON.parse(event.data).payload))
    window.source.addEventListener('error', event => window.heard.push(event.data || 'broken'))
}
"""
SIGN_IN = """async ([url, token]) => (await fetch(`${url}/v1/session`, {
    method: 'POST', credentials: 'include', headers: {Authorization: `Bearer ${token}`}
})).status"""
TICKET = """async ([url, token]) => (await (await fetch(`${url}/v1/tickets`, {
    method: 'POST', headers: {Authorization: `Bearer ${token}`}
})).json()).ticket"""


class _Quiet(http.server.BaseHTTPRequestHandler):
    """An empty page, for an origin to come from."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def site() -> Iterator[str]:
    """The origin of a web site."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    """One that may read, and one that may publish."""
    return TokenFile(
        tmp_path / "tokens.toml", {"metrics": True}, page={"subscribe": ["app.>"]}, writer={"publish": ["app.>"]}
    )


@pytest.fixture(params=["same origin", "another origin"])
def signed(
    request: pytest.FixtureRequest, start_server: StartServer, tokens: TokenFile, browser: Browser
) -> Iterator[tuple[ServerProcess, Page]]:
    """A guarded server, and a page of its own origin or of one that it names."""
    with site() as elsewhere, browser.new_context() as context, context.new_page() as page:
        page.set_default_timeout(PATIENCE * 1000)
        server = start_server(flags=["--auth", str(tokens.path), "--cors-origins", elsewhere])
        page.goto(f"{server.url}/healthz" if request.param == "same origin" else elsewhere)
        page.evaluate(FOLLOW)
        yield server, page


def _wait_for(page: Page, *heard: object) -> None:
    page.wait_for_function("heard => heard.every(one => window.heard.includes(one))", arg=list(heard))


def test_by_a_cookie_a_stream_stands_goes_on_after_a_restart_and_ends_with_the_token(
    signed: tuple[ServerProcess, Page], tokens: TokenFile
) -> None:
    server, page = signed
    assert page.evaluate(SIGN_IN, [server.url, tokens.tokens["page"]]) == 204
    assert page.evaluate("document.cookie") == ""
    page.evaluate("url => follow(url, {withCredentials: true})", f"{server.url}/?subject=app.>")
    _wait_for(page, "open")
    publish(server, tokens.tokens["writer"], "app.a", "before")
    _wait_for(page, "before")
    server.restart()
    publish(server, tokens.tokens["writer"], "app.a", "after")
    _wait_for(page, "before", "after")
    tokens.revoke("page")
    page.wait_for_function("window.heard.some(one => String(one).includes('revoked'))")
    page.wait_for_function("window.source.readyState === EventSource.CLOSED")


def test_by_a_ticket_a_stream_stands_once(signed: tuple[ServerProcess, Page], tokens: TokenFile) -> None:
    server, page = signed
    ticket = page.evaluate(TICKET, [server.url, tokens.tokens["page"]])
    page.evaluate("url => follow(url)", f"{server.url}/?subject=app.>&ticket={ticket}")
    _wait_for(page, "open")
    publish(server, tokens.tokens["writer"], "app.a", 1)
    _wait_for(page, 1)
    page.evaluate("source.close(); heard.length = 0")
    page.evaluate("url => follow(url)", f"{server.url}/?subject=app.>&ticket={ticket}")
    page.wait_for_function("window.source.readyState === EventSource.CLOSED")
    assert "open" not in page.evaluate("heard")


def test_the_page_of_the_documentation_works(start_server: StartServer, tmp_path: Path, browser: Browser) -> None:
    (block,) = blocks_of(ROOT / "docs" / "access.md", languages=["javascript"])
    tokens = TokenFile(tmp_path / "tokens.toml", page={"subscribe": ["orders.>"], "publish": ["orders.>"]})
    server = start_server(flags=["--auth", str(tokens.path)])
    publish(server, tokens.tokens["page"], "orders.a", "before")
    with browser.new_page() as page:
        page.goto(f"{server.url}/healthz")
        script = f"const token = '{tokens.tokens['page']}'; {block.text}; events.onopen = () => console.log('stands')"
        with page.expect_console_message(lambda message: message.text == "stands", timeout=PATIENCE * 1000):
            page.add_script_tag(content=script, type="module")
        with page.expect_console_message(lambda message: message.text == "after", timeout=PATIENCE * 1000):
            publish(server, tokens.tokens["page"], "orders.a", "after")
        with page.expect_console_message(lambda message: "revoked" in message.text, timeout=PATIENCE * 1000):
            tokens.revoke("page")


def test_a_page_that_is_not_named_has_no_use_of_the_cookie(
    start_server: StartServer, tokens: TokenFile, browser: Browser
) -> None:
    with site() as elsewhere, browser.new_context() as context, context.new_page() as page:
        server = start_server(flags=["--auth", str(tokens.path), "--cors-origins", "http://page.example"])
        page.goto(f"{server.url}/healthz")
        assert page.evaluate(SIGN_IN, [server.url, tokens.tokens["page"]]) == 204
        page.goto(elsewhere)
        page.evaluate(FOLLOW)
        page.evaluate("url => follow(url, {withCredentials: true})", f"{server.url}/?subject=app.>")
        page.wait_for_function("window.source.readyState === EventSource.CLOSED")
        assert "open" not in page.evaluate("heard")
