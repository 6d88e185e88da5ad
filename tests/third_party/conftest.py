"""A browser, pages for it, and every third-party client in turn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Browser, Page

from tests.browser import chromium
from tests.conftest import StartServer
from tests.proxies.support import SITE, Proxy, is_installed
from tests.support import PATIENCE, ServerProcess
from tests.third_party.client import HERE, InBrowser, InNode, InPython, ThirdPartyClient
from tests.third_party.readers import READERS

IN_BROWSER = {
    "EventSource same-origin": "EventSource",
    "EventSource cross-origin": "EventSource",
    "fetch-event-source cross-origin": "fetchEventSource",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window. Its driver keeps an event loop in this thread, so it ends with the module."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def server(start_server: StartServer) -> ServerProcess:
    """A server whose silence is short."""
    return start_server(flags=["--heartbeat", "500ms"])


@pytest.fixture
def site(server: ServerProcess, tmp_path: Path) -> Iterator[Proxy]:
    """A web site whose pages are the files of this directory, with the bus under /bus/."""
    if not is_installed("nginx"):
        pytest.skip("nginx isn't installed")
    site = Proxy(SITE, server, tmp_path / "site", trustme.CA(), root=HERE)
    site.start()
    yield site
    site.stop()


@pytest.fixture
def page(site: Proxy, browser: Browser) -> Iterator[Page]:
    """js/page.html of `site`, loaded."""
    need_packages()
    with browser.new_page() as page:
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{site.url}/js/page.html")
        page.wait_for_function("window.calls")
        yield page


@pytest.fixture(params=[*READERS, "eventsource", *IN_BROWSER])
def client(request: pytest.FixtureRequest, server: ServerProcess) -> Iterator[ThirdPartyClient]:
    """A client of `server` that nobody here wrote."""
    name: str = request.param
    with ExitStack() as stack:
        if name in READERS:
            yield InPython(server.url, READERS[name])
        elif name == "eventsource":
            yield _in_node(server, stack)
        else:
            yield _in_browser(request, server, name)


def _in_node(server: ServerProcess, stack: ExitStack) -> InNode:
    need_packages()
    client = InNode(server.url)
    stack.callback(client.close)
    return client


def _in_browser(request: pytest.FixtureRequest, server: ServerProcess, name: str) -> InBrowser:
    page: Page = request.getfixturevalue("page")
    site: Proxy = request.getfixturevalue("site")
    return InBrowser(f"{site.url}/bus" if name.endswith("same-origin") else server.url, page, IN_BROWSER[name])


def need_packages() -> None:
    """Skip the test unless Node.js and the packages it runs are here."""
    if not shutil.which("node") or not (HERE / "node_modules").is_dir():
        pytest.skip("the packages of tests/third_party/package.json aren't installed")
