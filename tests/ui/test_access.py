"""Who may do what with the dashboard, and that nothing that is shown becomes markup."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trustme
from playwright.sync_api import Browser, Page, expect

from tests.conftest import StartServer
from tests.proxies.support import SITE, Proxy, is_installed
from tests.server.access import TokenFile, ask
from tests.server.support import acknowledge, stored
from tests.support import ServerProcess, request, subscribe
from tests.ui.conftest import OpenDashboard

SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


def give_up(server: ServerProcess, consumer: str, reason: str) -> None:
    """Have *consumer* reject the next event of ``app.work``."""
    with subscribe(server, "app.work", consumer=consumer, ack="manual", start="oldest", limit=1) as stream:
        (event,) = stream.take(1)
        consumer_id = stream.headers["x-bus-consumer-id"]
        assert acknowledge(server, consumer_id, event.id, action="reject", reason=reason).status == 202


def is_safe(page: Page) -> bool:
    """Whether no script of an event has run, nor become an element."""
    return bool(page.evaluate("window.hacked === undefined && !document.querySelector('main script, img[src=x]')"))


def test_markup_in_events_stays_text(server: ServerProcess, dashboard: OpenDashboard) -> None:
    fields = {"key": SCRIPT, "trace_id": SCRIPT, "headers": {"x": SCRIPT}}
    stored(server, "app.work", {SCRIPT: SCRIPT}, **fields)
    give_up(server, "worker", SCRIPT)
    page = dashboard(server, "#/events?subject=app.work&start=oldest")
    page.locator(".row").click()
    expect(page.locator(".json")).to_contain_text(SCRIPT)
    expect(page.locator(".detail .facts").first).to_contain_text(SCRIPT)
    assert is_safe(page)
    page.goto(page.url.partition("#")[0] + "#/dead")
    expect(page.get_by_role("heading", name=SCRIPT)).to_be_visible()
    page.get_by_role("button", name="app.work").click()
    expect(page.locator(".json")).to_contain_text(SCRIPT)
    assert is_safe(page)


PUBLISH = """async () => (await fetch('../', {
    method: 'POST', body: '{"subject": "app.a", "payload": 1}'
})).status"""


def test_a_page_of_another_machine_is_read_only_and_the_server_sees_to_it(
    start_server: StartServer, dashboard: OpenDashboard
) -> None:
    """That it is another machine, the server is told as by a trusted proxy."""
    server = start_server(flags=["--trusted-proxies", "127.0.0.1"])
    assert request(server, "PUT", "/v1/consumers/worker", b'{"patterns": ["app.>"]}').status == 201
    page = dashboard(server, "#/consumers/worker", extra_http_headers={"X-Forwarded-For": "203.0.113.9"})
    expect(page.locator(".notice")).to_contain_text("--auth")
    expect(page.locator(".lead")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    expect(page.get_by_role("link", name="Publish")).to_have_count(0)
    assert page.evaluate(PUBLISH) == 403
    assert (
        request(server, "GET", "/?subject=app.a&start=oldest&follow=false", Accept="application/x-ndjson").body == b""
    )


def test_it_offers_what_the_token_may(start_server: StartServer, dashboard: OpenDashboard, tmp_path: Path) -> None:
    tokens = TokenFile(
        tmp_path / "tokens.toml",
        None,
        keeper={"manage": ["app.work.>"], "subscribe": ["app.>"]},
        root={"admin": True},
    )
    server = start_server(flags=["--auth", str(tokens.path)])
    for name, pattern in (("mine", "app.work.*"), ("other", "app.>")):
        body = msgspec.json.encode({"patterns": [pattern], "start": "oldest"})
        assert ask(server, tokens.tokens["root"], "PUT", f"/v1/consumers/{name}", body).status == 201
    page = dashboard(server, "#/consumers")
    page.get_by_label("Token").fill(tokens.tokens["keeper"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="mine").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("link", name="Events")).to_be_visible()
    expect(page.get_by_role("link", name="Publish")).to_have_count(0)
    expect(page.get_by_text("other")).to_have_count(0)
    page.get_by_role("link", name="Server").click()
    expect(page.get_by_text("Not for this token")).to_be_visible()
    expect(page.locator("main")).to_contain_text("app.work.>")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Token").fill(tokens.tokens["root"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Publish")).to_be_visible()
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    expect(page.locator(".log")).to_contain_text("listening on")


def test_somebody_signs_in_and_out(start_server: StartServer, dashboard: OpenDashboard, tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens.toml", None, reader={"subscribe": ["app.>"]})
    server = start_server(flags=["--auth", str(tokens.path)])
    page = dashboard(server)
    page.get_by_label("Token").fill("bus_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("token")
    page.get_by_label("Token").fill(tokens.tokens["reader"])
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("cell", name="app", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="orders", exact=True)).to_have_count(0)
    tokens.revoke("reader")
    expect(page.get_by_label("Token")).to_be_visible()


def test_signing_out_forgets_who_it_was(start_server: StartServer, dashboard: OpenDashboard, tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "tokens.toml", {"subscribe": ["orders.>"]}, writer={"publish": ["app.>"]})
    server = start_server(flags=["--auth", str(tokens.path)])
    page = dashboard(server, "#/publish")
    page.get_by_label("Subject").fill("app.a")
    page.get_by_label("Payload").fill("1")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("a token is needed")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Token").fill(tokens.tokens["writer"])
    page.get_by_role("button", name="Sign in").click()
    page.keyboard.press("1")
    expect(page.get_by_role("cell", name="app", exact=True)).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("cell", name="orders", exact=True)).to_be_visible()
    expect(page.get_by_role("cell", name="app", exact=True)).to_have_count(0)


def test_publishing_shows_the_receipt(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server, "#/publish")
    page.get_by_label("Subject").fill("app.a")
    page.get_by_label("Payload").fill('{"n": 12345678901234567890')
    expect(page.get_by_role("button", name="Publish")).to_be_disabled()
    page.get_by_label("Payload").fill('{"n": 12345678901234567890}')
    page.get_by_label("Headers").fill("schema: 2")
    page.get_by_label("How many").fill("3")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator(".facts")).to_contain_text("fsync")
    lines = request(server, "GET", "/?subject=app.a&start=oldest&follow=false", Accept="application/x-ndjson").body
    assert lines.count(b'"payload":{"n": 12345678901234567890}') == 3
    assert lines.count(b'"headers":{"schema":"2"}') == 3


def test_a_consumer_is_paused_moved_and_deleted(server: ServerProcess, dashboard: OpenDashboard) -> None:
    for number in range(5):
        stored(server, "app.work", number)
    body = b'{"patterns": ["app.work"], "start": "oldest"}'
    assert request(server, "PUT", "/v1/consumers/worker", body).status == 201
    page = dashboard(server, "#/consumers/worker")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".lead")).to_contain_text("paused")
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Move").click()
    page.get_by_label("Where to").fill("newest")
    page.get_by_role("button", name="What would it do?").click()
    expect(page.locator(".outlook")).to_contain_text("5 events skipped")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert msgspec.json.decode(request(server, "GET", "/v1/consumers/worker").body)["next_index"] == 6
    page.get_by_role("button", name="Delete").click()
    remove = page.get_by_role("dialog").get_by_role("button", name="Delete")
    expect(remove).to_be_disabled()
    page.get_by_label("Type its name").fill("worker")
    remove.click()
    expect(page.get_by_text("No durable consumers")).to_be_visible()
    assert request(server, "GET", "/v1/consumers/worker").status == 404


def test_dead_letters_are_redriven_edited_and_dropped(server: ServerProcess, dashboard: OpenDashboard) -> None:
    for number in range(3):
        stored(server, "app.work", number)
        give_up(server, "worker", f"reason {number % 2}")
    page = dashboard(server, "#/dead")
    expect(page.locator(".panel h2")).to_contain_text(["reason 0", "reason 1"])
    page.get_by_label("Mark 1", exact=True).check()
    page.get_by_role("button", name="Redrive 1 marked").click()
    expect(page.get_by_role("button", name="app.work")).to_have_count(2)
    first = page.locator(".panel", has_text="reason 1")
    first.get_by_role("button", name="Drop all").click()
    page.get_by_role("dialog").get_by_role("button", name="Drop").click()
    expect(page.get_by_role("button", name="app.work")).to_have_count(1)
    page.get_by_role("button", name="app.work").click()
    page.get_by_role("link", name="Edit and publish").click()
    expect(page.get_by_label("Payload")).to_have_value("2")
    expect(page.get_by_label("Subject")).to_have_value("app.work")


def test_addresses_lead_to_what_they_say(server: ServerProcess, dashboard: OpenDashboard) -> None:
    page = dashboard(server)
    for number, title in enumerate(
        ["Overview", "Events", "Publish", "Consumers", "Dead letters", "Latest values", "Server"], 1
    ):
        page.keyboard.press(str(number))
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Latest values")


def test_it_works_under_another_path_of_a_proxy(server: ServerProcess, browser: Browser, tmp_path: Path) -> None:
    if not is_installed("nginx"):
        pytest.skip("nginx isn't installed")
    site = Proxy(SITE, server, tmp_path / "site", trustme.CA(), root=tmp_path)
    site.start()
    page = browser.new_page()
    page.goto(f"{site.url}/bus/ui")
    expect(page.get_by_role("cell", name="app", exact=True)).to_be_visible()
    assert page.url.startswith(f"{site.url}/bus/ui/")
    page.goto(f"{site.url}/bus/ui/#/publish")
    page.get_by_label("Subject").fill("app.a")
    page.get_by_label("Payload").fill("1")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator(".facts")).to_contain_text("fsync")
    page.close()
    site.stop()


def test_the_policy_keeps_out_what_is_inline_or_from_elsewhere(server: ServerProcess, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{server.url}/ui/")
    tried = """() => new Promise(resolve => {
        const broken = []
        document.addEventListener('securitypolicyviolation', event => {
            broken.push(event.effectiveDirective)
            if (broken.length === 4) resolve(broken.sort())
        })
        const elsewhere = 'http://127.0.0.1:9/x'
        for (const [name, fields] of [['script', {textContent: 'window.hacked = 1'}], ['script', {src: elsewhere}],
                                      ['style', {textContent: '* {}'}], ['img', {src: elsewhere}]]) {
            document.body.append(Object.assign(document.createElement(name), fields))
        }
    })"""
    assert page.evaluate(tried) == ["img-src", "script-src-elem", "script-src-elem", "style-src-elem"]
    assert is_safe(page)
    page.close()
