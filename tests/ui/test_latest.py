"""Latest values: by subject and by key, their history, and what is different."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.server.support import stored
from tests.support import ServerProcess
from tests.ui.conftest import OpenDashboard


def test_each_subject_shows_its_newest_value_and_what_has_changed(
    server: ServerProcess, dashboard: OpenDashboard
) -> None:
    stored(server, "app.lamp.hall", {"on": False, "colour": {"red": 1}})
    stored(server, "app.lamp.porch", {"on": True})
    stored(server, "app.lamp.hall", {"colour": {"red": 2}, "on": False, "since": "noon"})
    page = dashboard(server, "#/latest?subject=app.lamp.*")
    expect(page.locator("td.name")).to_have_text(["app.lamp.hall", "app.lamp.porch"])
    expect(page.locator("td code").first).to_contain_text('"red":2')
    page.get_by_role("button", name="app.lamp.hall").click()
    expect(page.get_by_role("heading", name="2 differences")).to_be_visible()
    expect(page.locator(".difference dt")).to_have_text(["colour.red", "since"])
    expect(page.locator(".difference del")).to_have_text(["1"])
    expect(page.locator(".difference ins")).to_have_text(["2", '"noon"'])
    page.get_by_label("Version").select_option(index=1)
    expect(page.locator(".detail .json")).not_to_contain_text("since")


def test_subjects_are_suggested(server: ServerProcess, dashboard: OpenDashboard) -> None:
    stored(server, "app.lamp.hall", 1)
    page = dashboard(server, "#/publish")
    page.get_by_label("Subject").fill("app.")
    expect(page.locator("datalist option[value='app.lamp.hall']")).to_be_attached()


def test_each_key_shows_its_newest_value(server: ServerProcess, dashboard: OpenDashboard) -> None:
    for number in range(6):
        stored(server, f"app.moves.n{number}", number, key=f"piece-{number % 2}")
    stored(server, "app.moves.none", "no key")
    page = dashboard(server, "#/latest?subject=app.moves.*&by=key")
    expect(page.locator("td.name")).to_have_text(["piece-0", "piece-1"])
    expect(page.locator("td code")).to_have_text(["4", "5"])
    page.get_by_label("Filter").fill("piece-1")
    expect(page.locator("td.name")).to_have_text(["piece-1"])
