"""The chat example, with two people in Chromium."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from playwright.sync_api import Browser, Page, expect

from tests.proxies.support import SITE, Proxy
from tests.server.support import stored
from tests.support import PATIENCE, ServerProcess

CHAT = Path(__file__).parents[2] / "examples" / "chat"

Enter = Callable[[str], Page]


@pytest.fixture
def enter(server: ServerProcess, browser: Browser, tmp_path: Path) -> Iterator[Enter]:
    """A function that opens the page for a person of some name, in a browser profile of their own."""
    site = Proxy(SITE, server, tmp_path / "site", trustme.CA(), root=CHAT)
    site.start()
    expect.set_options(timeout=PATIENCE * 1000)
    with ExitStack() as stack:
        stack.callback(site.stop)

        def enter(name: str) -> Page:
            page = stack.enter_context(browser.new_context()).new_page()
            page.goto(f"{site.url}/index.html?room=tea&server={server.url}")
            page.get_by_label("Your name").fill(name)
            expect(page.get_by_role("status")).to_have_text("connected")
            return page

        yield enter


def say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.get_by_label("Message").press("Enter")
    expect(page.get_by_label("Message")).to_have_value("")


def expect_texts(page: Page, *texts: str) -> None:
    """That these are the messages the page shows, in this order, and no others."""
    expect(page.get_by_role("log").locator(".text")).to_have_text(texts)


def test_people_see_what_each_other_say(enter: Enter) -> None:
    alice, bob = enter("Alice"), enter("Bob")
    say(alice, "Tea?")
    expect_texts(bob, "Tea?")
    say(bob, "With <b>milk</b>, please")
    for page in (alice, bob):
        expect_texts(page, "Tea?", "With <b>milk</b>, please")
    expect(alice.locator("li.own")).to_have_count(1)


def test_messages_are_there_after_a_reload_and_a_restart(server: ServerProcess, enter: Enter) -> None:
    alice, bob = enter("Alice"), enter("Bob")
    say(alice, "one")
    expect_texts(bob, "one")
    server.kill()
    expect(alice.get_by_role("status")).to_have_text("connecting again")
    server.start()
    stored(server, "app.chat.tea", {"user": "shell", "text": "two"})
    for page in (alice, bob):
        expect(page.get_by_role("status")).to_have_text("connected")
        expect_texts(page, "one", "two")
    bob.reload()
    say(bob, "three")
    for page in (alice, bob):
        expect_texts(page, "one", "two", "three")


def test_what_was_not_sent_stays_and_says_why(server: ServerProcess, enter: Enter) -> None:
    alice = enter("Alice")
    server.kill()
    alice.get_by_label("Message").fill("lost?")
    alice.get_by_label("Message").press("Enter")
    expect(alice.get_by_role("alert")).to_contain_text("Not sent")
    expect(alice.get_by_label("Message")).to_have_value("lost?")
    server.start()
    alice.get_by_label("Message").press("Enter")
    expect_texts(alice, "lost?")
