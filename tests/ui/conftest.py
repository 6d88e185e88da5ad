"""The dashboard of a real server, open in Chromium; whatever goes wrong in the page fails the test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect

from tests.browser import chromium
from tests.support import PATIENCE, Listening

expect.set_options(timeout=PATIENCE * 1000)

_NOT_THERE = ("net::ERR_", "status of 4", "status of 5")
"""What Chromium says of requests that fail, which some tests want."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium. Its driver keeps an event loop in this thread, so it ends with the module."""
    with chromium() as browser:
        yield browser


class OpenDashboard(Protocol):
    """Opens the dashboard of *server* at an address within it, in a browser profile of its own or in *context*."""

    def __call__(
        self, server: Listening, place: str = "", context: BrowserContext | None = None, **options: Any
    ) -> Page: ...


@pytest.fixture
def dashboard(browser: Browser) -> Iterator[OpenDashboard]:
    """A function that opens the dashboard. A script that fails, or that the policy forbids, fails the test."""
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and not any(text in message.text for text in _NOT_THERE):
            faults.append(message.text)

    with ExitStack() as stack:

        def open_page(
            server: Listening, place: str = "", context: BrowserContext | None = None, **options: Any
        ) -> Page:
            context = context or stack.enter_context(browser.new_context(**options))
            page = context.new_page()
            page.set_default_timeout(PATIENCE * 1000)
            page.on("console", note)
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.goto(f"http://127.0.0.1:{server.port}/ui/{place}")
            return page

        yield open_page
    assert faults == []
