"""The nodes of a cluster of NATS, on the page of the server in front of them."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.conftest import StartServer
from tests.nats.servers import Servers
from tests.ui.conftest import OpenDashboard


def test_the_page_of_a_server_has_the_nodes_behind_it(
    start_server: StartServer, dashboard: OpenDashboard, tmp_path: Path
) -> None:
    with Servers(tmp_path / "nats", count=3) as nodes:
        server = start_server(flags=["--engine", f"{nodes.url}/prod"])
        page = dashboard(server, "#/server")
        rows = page.locator("section", has_text="Nodes").locator("tbody tr")
        expect(rows).to_have_count(3)
        expect(rows.filter(has_text="connected, 2.")).to_have_count(1)
        expect(rows.filter(has_text="current")).to_have_count(3)
        for node in nodes.nodes:
            node.kill()
        expect(page.get_by_text("No node can be reached")).to_be_visible()


def test_a_server_that_keeps_its_events_itself_has_none(start_server: StartServer, dashboard: OpenDashboard) -> None:
    page = dashboard(start_server(), "#/server")
    expect(page.get_by_role("heading", name="Program")).to_be_visible()
    expect(page.get_by_role("heading", name="Nodes")).to_have_count(0)
