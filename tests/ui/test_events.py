"""The events view: under load, over a restart, in many tabs."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.server.support import draft, stored
from tests.support import ServerProcess, request
from tests.ui.conftest import OpenDashboard

BATCH, PACE = 500, 0.05
"""10,000 events a second."""

TABS = 7
"""One more than a browser has connections for a server."""

COUNT_FRAMES = """() => {
    window.frames_drawn = 0
    const draw = () => { window.frames_drawn++; requestAnimationFrame(draw) }
    requestAnimationFrame(draw)
}"""


def live(page: Page) -> None:
    """Wait until the page is live."""
    expect(page.locator(".state")).to_contain_text("live")


@contextmanager
def load(server: ServerProcess, batches: int) -> Iterator[threading.Thread]:
    """Publish *batches* to ``app.load``, 10,000 events a second."""
    body = b"[%b]" % b",".join([draft("app.load", {"text": "x" * 100, "n": n}) for n in range(BATCH)])

    def publish() -> None:
        begun = time.monotonic()
        for number in range(batches):
            time.sleep(max(0.0, begun + number * PACE - time.monotonic()))
            assert request(server, "POST", "/", body).status == 202

    thread = threading.Thread(target=publish)
    thread.start()
    yield thread
    thread.join()


def test_ten_thousand_events_a_second_leave_the_page_responsive(
    server: ServerProcess, dashboard: OpenDashboard
) -> None:
    page = dashboard(server, "#/events?subject=app.>")
    live(page)
    page.evaluate(COUNT_FRAMES)
    with load(server, 100):
        for _ in range(5):
            page.keyboard.press("Space")
            expect(page.get_by_role("button", name="Go on")).to_be_visible()
            page.keyboard.press("Space")
            expect(page.get_by_role("button", name="Pause")).to_be_visible()
        assert page.locator(".row").count() < 80, "only rows that can be seen are in the page"
    expect(page.locator(".state")).to_contain_text(f"{100 * BATCH:,} events received")
    expect(page.locator(".row .index").first).to_have_text(str(100 * BATCH))
    assert page.evaluate("window.frames_drawn") > 100, "in five seconds or more"


def test_a_pause_keeps_the_rows_and_counts_what_comes(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server, "#/events?subject=app.>")
    live(page)
    stored(server, "app.a", "first")
    expect(page.locator(".row")).to_have_count(1)
    page.keyboard.press("Space")
    for number in range(3):
        stored(server, "app.a", number)
    expect(page.locator(".state")).to_contain_text("3 unseen")
    expect(page.locator(".row")).to_have_count(1)
    page.keyboard.press("Space")
    expect(page.locator(".row")).to_have_count(4)
    expect(page.locator(".state")).not_to_contain_text("unseen")


def test_the_server_restarts_under_it(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server, "#/events?subject=app.>")
    live(page)
    stored(server, "app.a", "before")
    expect(page.locator(".row")).to_have_count(1)
    server.kill()
    expect(page.locator(".state")).to_contain_text("connecting again")
    server.start()
    stored(server, "app.a", "after")
    live(page)
    expect(page.locator(".row .payload")).to_have_text(['"after"', '"before"'])
    expect(page.locator(".banner")).to_have_count(0)


def test_a_filter_chooses_by_content_and_is_in_the_address(server: ServerProcess, dashboard: OpenDashboard) -> None:
    for name in ("Ada", "Grace", "Edsger"):
        stored(server, "app.user", {"name": name}, key=f"key-{name}", trace_id="t-1")
    page = dashboard(server, "#/events?subject=app.>&start=oldest")
    expect(page.locator(".row")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("grace")
    expect(page.locator(".row")).to_have_count(1)
    page.reload()
    expect(page.locator(".row .payload")).to_have_text(['{"name":"Grace"}'])
    page.locator(".row").click()
    page.get_by_role("link", name="follow").last.click()
    expect(page.locator(".row")).to_have_count(3)
    expect(page.locator(".chip")).to_contain_text("t-1")


def test_browsing_goes_back_from_a_place(server: ServerProcess, dashboard: OpenDashboard) -> None:
    ids = [stored(server, "app.a", number) for number in range(5)]
    page = dashboard(server, "#/events?subject=app.>&upto=newest")
    expect(page.locator(".row .payload")).to_have_text(["4", "3", "2", "1", "0"])
    for place in ("3", ids[2]):
        page.get_by_label("Up to").fill(place)
        page.get_by_label("Up to").press("Enter")
        expect(page.locator(".row .payload")).to_have_text(["2", "1", "0"])


def test_what_is_being_written_is_left_alone(server: ServerProcess, dashboard: OpenDashboard) -> None:
    """The page is drawn anew whenever counters come, which is no reason to take back what somebody types."""
    page = dashboard(server, "#/events?subject=app.>")
    live(page)
    subject = page.get_by_label("Subject")
    subject.fill("app.half")
    stored(server, "app.a", 1)
    expect(page.locator(".row")).to_have_count(1)
    expect(subject).to_have_value("app.half")
    subject.press("Enter")
    expect(page).to_have_url(re.compile("subject=app.half"))


def test_browsing_loads_page_after_page(server: ServerProcess, dashboard: OpenDashboard) -> None:
    body = b"[%b]" % b",".join(draft("app.a", {"text": '],"}', "n": n}) for n in range(250))
    assert request(server, "POST", "/", body).status == 202
    page = dashboard(server, "#/events?subject=app.>&upto=newest")
    for count in (100, 200, 250):
        expect(page.locator(".state")).to_contain_text(f"{count} events")
        if count < 250:
            page.get_by_role("button", name="Load older ones").click()
    expect(page.get_by_role("button", name="Load older ones")).to_have_count(0)


def test_numbers_are_shown_as_they_were_written(server: ServerProcess, dashboard: OpenDashboard) -> None:
    request(server, "POST", "/", b'{"subject": "app.a", "payload": {"big": 12345678901234567890, "one": 1.0}}')
    page = dashboard(server, "#/events?subject=app.>&start=oldest")
    page.locator(".row").click()
    expect(page.locator(".json")).to_contain_text("12345678901234567890")
    expect(page.locator(".json")).to_contain_text("1.0")


def test_seven_tabs_share_what_connections_there_are(
    server: ServerProcess, browser: Browser, dashboard: OpenDashboard
) -> None:
    """The counters are one stream for all tabs, and of the streams of events three: the others rest until looked at."""
    with browser.new_context() as context:
        pages = [dashboard(server, "#/events?subject=app.>&start=oldest", context) for _ in range(TABS)]
        for number, page in enumerate(pages):
            page.locator(".state").click()
            live(page)
            stored(server, "app.a", number)
            expect(page.locator(".row")).to_have_count(number + 1)
        for page in pages:
            page.evaluate("location.hash = '#/overview'")
            expect(page.get_by_role("cell", name="app", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    "place", ["#/events?subject=<img src=x onerror=hacked=1>", "#/consumers/<script>hacked=1</script>"]
)
def test_what_stands_in_the_address_is_text(server: ServerProcess, dashboard: OpenDashboard, place: str) -> None:
    page = dashboard(server, place)
    expect(page.locator("main")).to_contain_text("<")
    assert page.evaluate("window.hacked") is None
