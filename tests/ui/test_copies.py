"""What is copied, downloaded or published by hand is what was seen: shells and Python are asked to do it again."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import Page, expect

from bus import Client, Delivery
from tests.server.support import stored
from tests.support import ServerProcess, request
from tests.ui.conftest import OpenDashboard

PAYLOAD = {"it's": '"quoted" $HOME `id`\n\\', "n": 12345678901234567890, "sep": "\u2028"}
READ = "navigator.clipboard.readText()"


def _lines(server: ServerProcess, subject: str) -> list[bytes]:
    path = f"/?subject={subject}&start=oldest&follow=false"
    return request(server, "GET", path, Accept="application/x-ndjson").body.splitlines()


def _copied(page: Page, what: str) -> str:
    page.get_by_role("button", name=what, exact=True).click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    text: str = page.evaluate(READ)
    return text


@pytest.mark.parametrize("what", ["curl", "bus", "Python"])
def test_a_copy_publishes_the_same_again(server: ServerProcess, dashboard: OpenDashboard, what: str) -> None:
    stored(server, "app.work", PAYLOAD, trace_id="t 1", headers={"schema": "it's 2"})
    page = dashboard(
        server, "#/events?subject=app.work&start=oldest", permissions=["clipboard-read", "clipboard-write"]
    )
    page.locator(".row").click()
    text = _copied(page, what)
    if what == "bus":
        text = text.replace("bus put", f"{Path(sys.executable).with_name('bus')} put", 1)
    command = [sys.executable, "-c", text] if what == "Python" else ["sh", "-c", text]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    before, after = (msgspec.json.decode(line) for line in _lines(server, "app.work"))
    for field in ("payload", "trace_id", "headers"):
        assert after[field] == before[field], field


def test_a_download_has_the_lines_the_oldest_first(server: ServerProcess, dashboard: OpenDashboard) -> None:
    for number in range(3):
        stored(server, "app.work", {"n": number})
    page = dashboard(server, "#/events?subject=app.work&start=oldest&filter=n")
    expect(page.locator(".row")).to_have_count(3)
    page.get_by_label("Filter").fill('"n":0')
    expect(page.locator(".row")).to_have_count(1)
    page.get_by_label("Filter").fill("")
    expect(page.locator(".row")).to_have_count(3)
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download").click()
    downloaded = [msgspec.json.decode(line) for line in downloading.value.path().read_bytes().splitlines()]
    assert [event["payload"] for event in downloaded] == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_an_event_is_published_later(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server, "#/publish?subject=app.later")
    page.get_by_label("Payload").fill("1")
    page.get_by_label("Delay").fill("1h")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("heading", name="Scheduled")).to_be_visible()
    (schedule,) = msgspec.json.decode(request(server, "GET", "/v1/schedules").body)["schedules"]
    expect(page.locator(".facts")).to_contain_text(schedule["id"])


def test_a_request_shows_its_reply(server: ServerProcess, dashboard: OpenDashboard) -> None:
    def double(event: Delivery) -> object:
        return {"doubled": 2 * event.payload}

    with Client(server.url) as client:
        worker = client.worker("app.double", double, consumer="doubler", signals=False)
        serving = threading.Thread(target=worker.run)
        serving.start()
        page = dashboard(server, "#/publish?subject=app.double")
        page.get_by_label("Payload").fill("21")
        page.get_by_label("Wait for its reply").check()
        page.get_by_role("button", name="Ask").click()
        expect(page.locator("pre")).to_contain_text('{"doubled":42}')
        worker.stop()
        serving.join()
