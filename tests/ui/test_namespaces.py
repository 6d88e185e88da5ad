"""Namespaces in the dashboard: made, changed and deleted by whom may, and by nobody else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Page, expect

from tests.conftest import StartServer
from tests.server.access import TokenFile, ask
from tests.server.support import stored
from tests.support import ServerProcess, request
from tests.ui.conftest import OpenDashboard


def _described(server: ServerProcess, name: str) -> dict[str, Any]:
    answer = request(server, "GET", f"/v1/namespaces/{name}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


def test_a_namespace_is_made_changed_and_deleted(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server)
    page.get_by_role("button", name="New namespace").click()
    page.get_by_label("Name", exact=True).fill("Bad Name")
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_role("alert")).to_contain_text("namespace")
    page.get_by_label("Name", exact=True).fill("billing")
    page.get_by_label("Stored").select_option("memory")
    page.get_by_label("Keep").fill("30d,10GB")
    page.get_by_label("Quota").fill("20GB")
    page.get_by_label("Compact by").select_option("key")
    page.get_by_role("button", name="Make").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("billing")
    made = _described(server, "billing")
    assert (made["storage"], made["retention"], made["quota"]) == ("memory", "30d,10GB", 20 * 10**9)
    assert made["compact"] == "key"
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Keep").fill("7d")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".facts")).to_contain_text("7d")
    changed = _described(server, "billing")
    assert (changed["quota"], changed["compact"]) == (20 * 10**9, "key")
    assert changed["retention"].startswith("7d")
    _delete(page, "billing")
    assert request(server, "GET", "/v1/namespaces/billing").status == 404


def _delete(page: Page, name: str) -> None:
    page.get_by_role("button", name="Delete").click()
    remove = page.get_by_role("dialog").get_by_role("button", name="Delete")
    expect(remove).to_be_disabled()
    page.get_by_label("Type its name").fill(name)
    remove.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_role("cell", name=name, exact=True)).to_have_count(0)


def test_subjects_are_counted_for_the_overview(server: ServerProcess, dashboard: OpenDashboard) -> None:
    for name in ("a", "b", "b"):
        stored(server, f"app.{name}")
    assert request(server, "GET", "/v1/subjects?match=app.>").status == 200
    page = dashboard(server)
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name="app", exact=True))
    expect(row.get_by_role("cell").nth(4)).to_have_text("2")
    page.get_by_role("link", name="app", exact=True).click()
    expect(page.locator(".figure", has_text="Subjects").locator(".value")).to_have_text("2")


CHANGE = """async ([method, name]) => (await fetch(`../v1/namespaces/${name}`, {
    method, body: method === 'PUT' ? '{}' : undefined
})).status"""


def test_only_whom_may_is_offered_it_and_the_server_refuses_the_rest(
    start_server: StartServer, dashboard: OpenDashboard, tmp_path: Path
) -> None:
    tokens = TokenFile(
        tmp_path / "tokens.toml",
        None,
        keeper={"manage": ["mine.>"], "subscribe": ["app.>", "other.>"]},
        reader={"subscribe": ["mine.>"]},
        root={"admin": True},
    )
    server = start_server(flags=["--auth", str(tokens.path)])
    for name in ("mine", "other"):
        assert ask(server, tokens.tokens["root"], "PUT", f"/v1/namespaces/{name}", b"{}").status == 201
    page = dashboard(server, "#/overview/mine")
    page.get_by_label("Token").fill(tokens.tokens["keeper"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    page.goto(page.url.replace("mine", "other"))
    expect(page.get_by_role("heading", level=1)).to_have_text("other")
    expect(page.get_by_role("button", name="Settings")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    assert [page.evaluate(CHANGE, [method, "other"]) for method in ("PUT", "DELETE")] == [403, 403]
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").fill(tokens.tokens["reader"])
    page.get_by_role("button", name="Sign in").click()
    page.keyboard.press("1")
    expect(page.get_by_role("cell", name="mine", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="New namespace")).to_have_count(0)
    assert page.evaluate(CHANGE, ["DELETE", "mine"]) == 403


def test_one_that_is_declared_is_not_deleted(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server, "#/overview/app")
    expect(page.get_by_role("button", name="Settings")).to_be_visible()
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    assert page.evaluate(CHANGE, ["DELETE", "app"]) == 409
