"""The views come when they are first opened: what that loads, what is shown until then, and what if it fails."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.conftest import StartServer
from tests.support import ServerProcess, request
from tests.ui.conftest import OpenDashboard

MOST_AT_FIRST = 28_000
"""Bytes that the server sends of the page until it shows the overview: the 28 kB that the documentation promises."""

VIEWS = {
    "Events": "events",
    "Publish": "publish",
    "Consumers": "consumers",
    "Dead letters": "dead_letters",
    "Latest values": "latest",
    "Server": "server",
}
"""The views that aren't there at first, and the modules that they are in."""

_SENT = re.compile(r"GET /ui/(\S*) (?:200|304) (\d+) ")
"""A file in the access log, and the bytes of it that were sent."""


def is_open(page: Page, title: str) -> None:
    """Wait until the view of this *title* is there."""
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.get_by_text("Loading …")).to_have_count(0)
    expect(page).to_have_title(f"{title} · Bus")


def open_view(page: Page, title: str) -> None:
    page.get_by_role("navigation").get_by_role("link", name=title).click()


def test_a_first_load_is_small(start_server: StartServer, dashboard: OpenDashboard) -> None:
    server = start_server(flags=["--access-log"])
    page = dashboard(server)
    expect(page.get_by_role("cell", name="app", exact=True)).to_be_visible()
    assert request(server, "GET", "/ui/last").status == 404
    server.wait_for_log("/ui/last")
    sent = _SENT.findall(server.log)
    names = {name for name, _ in sent}
    assert {"", "app.css", "app.js", "shared_worker.js", "views/overview.js"} <= names
    assert names.isdisjoint(f"views/{module}.js" for module in VIEWS.values())
    assert sum(int(size) for _, size in sent) < MOST_AT_FIRST


def test_each_view_comes_once_when_it_is_first_opened(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server)
    is_open(page, "Overview")
    asked: list[str] = []

    def note(one: Request) -> None:
        asked.extend(re.findall(r"/ui/views/(\w+)\.js$", one.url))

    page.on("request", note)
    for title in [*VIEWS, *VIEWS]:
        open_view(page, title)
        is_open(page, title)
        expect(page.get_by_role("link", name=title)).to_have_attribute("aria-current", "page")
    assert asked == list(VIEWS.values())


def test_the_view_last_asked_for_is_shown_whichever_comes_last(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server)
    held: list[Route] = []
    page.route("**/views/events.js", lambda route: held.append(route))
    with page.expect_request("**/views/events.js"):
        open_view(page, "Events")
    expect(page.get_by_text("Loading …")).to_be_visible()
    expect(page).to_have_title("Events · Bus")
    open_view(page, "Server")
    is_open(page, "Server")
    open_view(page, "Events")
    expect(page.get_by_text("Loading …")).to_be_visible()
    open_view(page, "Server")
    for route in held:
        route.continue_()
    page.evaluate("import('./views/events.js')")
    is_open(page, "Server")
    page.go_back()
    is_open(page, "Events")


UNFIT = "import { gone } from '../api.js'; export default gone;"
"""A module that asks another for what that one hasn't."""


@pytest.mark.parametrize(
    ("module", "answer"),
    [
        ("views/dead_letters.js", {"status": 404}),
        ("parts/events.js", {"status": 404}),
        ("views/dead_letters.js", {"body": UNFIT, "content_type": "text/javascript"}),
    ],
    ids=["gone", "without what it imports", "unfit"],
)
def test_a_view_that_cannot_be_loaded_says_so_and_is_tried_again(
    server: ServerProcess, dashboard: OpenDashboard, module: str, answer: dict[str, Any]
) -> None:
    page = dashboard(server)
    page.route(f"**/{module}", lambda route: route.fulfill(**answer))
    open_view(page, "Dead letters")
    expect(page.get_by_role("alert")).to_contain_text("This view can't be loaded")
    is_open(page, "Dead letters")
    open_view(page, "Consumers")
    is_open(page, "Consumers")
    expect(page.get_by_role("alert")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("alert")).to_contain_text("This view can't be loaded")
    page.unroute(f"**/{module}")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("No dead letters")).to_be_visible()
    is_open(page, "Dead letters")


def test_trying_again_waits_for_the_server(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server)
    is_open(page, "Overview")
    server.kill()
    page.evaluate("location.hash = '#/consumers/worker'")
    expect(page.get_by_role("alert")).to_contain_text("imported module")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).not_to_contain_text("imported module")
    server.start()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text("No such consumer")).to_be_visible()
    assert page.url.endswith("#/consumers/worker")


def test_a_view_of_an_upgraded_server_comes_with_its_page(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server)
    open_view(page, "Publish")
    is_open(page, "Publish")

    def upgrade(route: Route) -> None:
        about = msgspec.json.decode(route.fetch().body())
        route.fulfill(json=about | {"version": "99.0"})

    page.route("**/v1/server", upgrade)
    page.evaluate("window.old = true")
    with page.expect_response("**/v1/server"):
        server.restart()
    page.wait_for_function("async () => (await import('./store.js')).state.upgraded")
    open_view(page, "Overview")
    is_open(page, "Overview")
    assert page.evaluate("window.old")
    open_view(page, "Server")
    is_open(page, "Server")
    expect(page.get_by_text("99.0")).to_be_visible()
    assert page.evaluate("window.old === undefined")
