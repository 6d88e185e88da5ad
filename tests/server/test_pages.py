"""What a web page may have done: a browser's requests by where they come from and what they are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.server.support import Peer, dial, draft, refusal, stored, target
from tests.support import Answer, ServerProcess, request, subscribe

PAGE = "https://app.example"
EVIL = "https://evil.example"

IMAGE: dict[str, Any] = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
NEIGHBOUR = {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "script"}
LINK = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
BLIND = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "empty"}
CROSS_SITE: dict[str, Any] = {
    "Origin": EVIL,
    "Sec_Fetch_Site": "cross-site",
    "Sec_Fetch_Mode": "cors",
    "Sec_Fetch_Dest": "empty",
}
OLD_BROWSER: dict[str, Any] = {"Origin": EVIL}
SANDBOX = {"Origin": "null"}
ALLOWED = CROSS_SITE | {"Origin": PAGE}
TYPED = {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
OWN = {"Origin": "https://bus.example", "Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}

EMBEDDED: list[dict[str, Any]] = [IMAGE, NEIGHBOUR, LINK, BLIND]
STRANGERS: list[dict[str, Any]] = [*EMBEDDED, CROSS_SITE, OLD_BROWSER, SANDBOX]
WELCOME: list[dict[str, Any]] = [{}, ALLOWED, TYPED, OWN]

CHANGES = [
    ("POST", "/", draft("app.a"), {}),
    ("POST", "/", draft("app.a"), {"Content_Type": "application/x-ndjson"}),
    ("PUT", "/?consumer_id=c_1&event_id=e_1", b"", {}),
    ("DELETE", "/v1/consumers/nobody", b"", {}),
    ("POST", "/v1/consumers/nobody/dead", b"", {}),
    ("GET", target("app.a", consumer="nobody", ack="manual", start="beyond"), b"", {}),
    ("GET", target("app.a", ack="manual", start="beyond"), b"", {}),
]
LOOKS = ["/healthz", "/v1/consumers", "/metrics", target("app.a", follow="false")]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that only pages of one origin may use."""
    server = ServerProcess(tmp_path_factory.mktemp("pages") / "data", flags=["--cors-origins", PAGE])
    yield server
    server.close()


@pytest.mark.parametrize(("method", "path", "body", "headers"), CHANGES)
@pytest.mark.parametrize("page", STRANGERS)
def test_pages_of_other_origins_change_nothing(
    guarded: ServerProcess, page: dict[str, Any], method: str, path: str, body: bytes, headers: dict[str, Any]
) -> None:
    status, text = refusal(request(guarded, method, path, body, **page, **headers))
    assert status == 403, text


@pytest.mark.parametrize(("method", "path", "body", "headers"), CHANGES)
@pytest.mark.parametrize("page", WELCOME)
def test_others_are_not_hindered(
    guarded: ServerProcess, page: dict[str, Any], method: str, path: str, body: bytes, headers: dict[str, Any]
) -> None:
    assert request(guarded, method, path, body, **page, **headers).status in (202, 404)


@pytest.mark.parametrize("path", LOOKS)
@pytest.mark.parametrize("page", STRANGERS)
def test_looking_is_left_to_the_browser(guarded: ServerProcess, page: dict[str, Any], path: str) -> None:
    answer = request(guarded, "GET", path, **page)
    assert (answer.status, answer.headers.get("access-control-allow-origin")) == (200, None)


@pytest.mark.parametrize("page", EMBEDDED)
def test_nothing_takes_part_in_a_consumer_by_being_embedded(
    bus: ServerProcess, subject: str, page: dict[str, Any]
) -> None:
    event_id = stored(bus, subject)
    path = target(subject, consumer="embedded", ack="manual", start="oldest", redelivery_count=1)
    assert refusal(request(bus, "GET", path, **page))[0] == 403
    assert refusal(request(bus, "GET", target(subject, ack="manual", start="oldest"), **page))[0] == 403
    with subscribe(bus, subject, consumer="embedded", ack="manual", start="oldest") as stream:
        event = msgspec.json.decode(stream.take(1)[0].data)
        assert (event["id"], event["attempts"]) == (event_id, 1)
    assert request(bus, "DELETE", "/v1/consumers/embedded").status == 204


def test_pages_of_any_origin_may_publish_by_default(bus: ServerProcess, subject: str) -> None:
    for page in (CROSS_SITE, OLD_BROWSER):
        assert request(bus, "POST", "/", draft(subject), **page).status == 202


def test_a_page_of_the_servers_own_may_change_things(guarded: ServerProcess) -> None:
    body = draft("app.a")
    with dial(guarded) as peer:
        answer = _ask(peer, body, b"Host: bus.example:8080\r\nOrigin: http://bus.example:8080\r\n")
        assert answer.status == 202
        assert _ask(peer, body, b"Host: bus.example:8080\r\nOrigin: http://evil.example:8080\r\n").status == 403


def test_the_browser_knows_whether_a_page_is_the_servers_own(guarded: ServerProcess) -> None:
    """It tells pages of one name apart by how they were loaded, which the name alone doesn't."""
    body, pages = draft("app.a"), b"Host: bus.example\r\nOrigin: http://bus.example\r\nSec-Fetch-Site: "
    with dial(guarded) as peer:
        assert _ask(peer, body, pages + b"same-origin\r\n").status == 202
        assert _ask(peer, body, pages + b"cross-site\r\n").status == 403


def _ask(peer: Peer, body: bytes, headers: bytes) -> Answer:
    peer.send(b"POST / HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body))
    return peer.answer()
