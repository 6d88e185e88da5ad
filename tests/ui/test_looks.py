"""The dashboard is accessible and fits, in every view, light and dark, on a desktop and a phone."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.server.support import stored
from tests.support import ServerProcess, request
from tests.third_party.client import HERE
from tests.third_party.conftest import need_packages
from tests.ui.conftest import OpenDashboard
from tests.ui.test_access import give_up

LONG = "a-name-that-goes-on-and-on-and-on-until-it-is-as-long-as-names-may-ever-become-in-this-server"
VIEWS = {
    "overview": "",
    "namespace": "#/overview/app",
    "live": "#/events?subject=app.>&start=oldest",
    "browse": "#/events?subject=app.>&upto=newest",
    "publish": "#/publish",
    "consumers": "#/consumers",
    "consumer": f"#/consumers/{LONG}",
    "dead": "#/dead",
    "latest": "#/latest?subject=app.>",
    "server": "#/server",
}
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
RUN_AXE = """async () => (await axe.run({resultTypes: ['violations']})).violations
    .filter(one => ['serious', 'critical'].includes(one.impact))
    .map(one => `${one.id}: ${one.nodes.map(node => node.html + node.failureSummary).join(' | ')}`)"""


@pytest.fixture
def furnished(server: ServerProcess) -> ServerProcess:
    """A server with long names, large numbers, and something wrong."""
    stored(server, f"app.{LONG}", {LONG: LONG, "numbers": [10**18, 1.5, None, True]}, key=LONG, headers={LONG: LONG})
    stored(server, "app.work", 1)
    give_up(server, "worker", LONG)
    body = b'{"patterns": ["app.%b", "app.work"], "start": "oldest"}' % LONG.encode()
    assert request(server, "PUT", f"/v1/consumers/{LONG}", body).status == 201
    return server


def _is_there(page: Page, view: str) -> None:
    """Wait until the view shows what is in the server."""
    expect(page.locator(".row, .form, td.name, .lead, .detail, .log, .facts").first).to_be_visible()
    if view == "live":
        page.locator(".row").first.click()
        expect(page.locator(".detail")).to_be_visible()
    if view in ("dead", "latest"):
        page.locator("td.name button").first.click()
        expect(page.locator(".detail")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing_serious_and_nothing_overflows(
    furnished: ServerProcess, dashboard: OpenDashboard, view: str, viewport: dict[str, Any], scheme: str
) -> None:
    need_packages()
    # What is added to the page by the test is no part of it, so the policy isn't to forbid that.
    page = dashboard(furnished, VIEWS[view], viewport=viewport, color_scheme=scheme, bypass_csp=True)
    _is_there(page, view)
    page.add_script_tag(path=HERE / "node_modules" / "axe-core" / "axe.min.js")
    assert page.evaluate(RUN_AXE) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
