"""Which web pages may use the server, as the CORS protocol asks (WHATWG Fetch)."""

from __future__ import annotations

import pytest

from tests.conftest import StartServer
from tests.server.support import dial, draft, target
from tests.support import Answer, ServerProcess, request

PAGE = "https://chat.example"
HEADERS = ("X-BUS-EVENT-ID", "X-BUS-EVENT-CREATED-AT", "X-BUS-EVENT-INDEX", "X-BUS-CONSUMER-ID")


def _names(answer: Answer, header: str) -> set[str]:
    return {name.strip().lower() for name in answer.headers[header].split(",")}


@pytest.mark.parametrize("path", ["/", "/?subject=app.a", "/?subjct=app.a", "/v1/consumers", "*"])
def test_a_preflight_allows_what_the_api_needs(bus: ServerProcess, path: str) -> None:
    answer = request(
        bus, "OPTIONS", path,
        Origin=PAGE, Access_Control_Request_Method="PUT", Access_Control_Request_Headers="content-type",
    )  # fmt: skip
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {"get", "post", "put", "delete"} <= _names(answer, "access-control-allow-methods")
    wanted = {"content-type", "accept", "last-event-id", "traceparent", "tracestate", *map(str.lower, HEADERS)}
    assert wanted <= _names(answer, "access-control-allow-headers")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/", draft("app.cors"), 202),
        ("POST", "/", b"{", 400),
        ("GET", target("app.cors", follow="false"), b"", 200),
        ("GET", "/", b"", 400),
        ("PUT", "/?consumer_id=c_1&event_id=e_1", b"", 404),
        ("GET", "/nowhere", b"", 404),
    ],
)
def test_a_page_may_read_every_answer(bus: ServerProcess, method: str, path: str, body: bytes, status: int) -> None:
    answer = request(bus, method, path, body, Origin=PAGE)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "*")
    assert set(map(str.lower, HEADERS)) <= _names(answer, "access-control-expose-headers")


def test_who_names_no_origin_is_told_nothing_of_origins(bus: ServerProcess) -> None:
    answer = request(bus, "GET", "/healthz")
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("origin", "allowed"), [(PAGE, True), ("https://b.example", True), ("https://evil.example", False), ("null", False)]
)
def test_origins_can_be_named(start_server: StartServer, origin: str, allowed: bool) -> None:
    server = start_server(flags=["--cors-origins", f"{PAGE},https://b.example"])
    with dial(server) as peer:
        for method in (b"GET", b"OPTIONS"):
            peer.send(method + b" /healthz HTTP/1.1\r\nHost: bus\r\nOrigin: %b\r\n\r\n" % origin.encode())
            answer = peer.answer()
            assert answer.headers.get("access-control-allow-origin") == (origin if allowed else None)
            assert not allowed or "origin" in _names(answer, "vary")


RESTRICTED = ["--cors-origins", PAGE]


@pytest.mark.parametrize(
    ("origin", "flags", "vary"),
    [
        ("", RESTRICTED, "Origin"),
        ("https://evil.example", RESTRICTED, "Origin"),
        (PAGE, RESTRICTED, "Origin"),
        ("", [], None),
    ],
)
def test_an_answer_says_whether_it_depends_on_the_origin(
    start_server: StartServer, origin: str, flags: list[str], vary: str | None
) -> None:
    server = start_server(flags=flags)
    asked = [
        ("GET", "/healthz", b""), ("HEAD", "/", b""), ("OPTIONS", "/", b""), ("POST", "/", draft("app.a")),
        ("GET", target("app.a", follow="false"), b""), ("GET", "/nowhere", b""), ("POST", "/", b"{"),
        ("BREW", "/", b""),
    ]  # fmt: skip
    found = {
        (method, path): request(server, method, path, body, Origin=origin).headers.get("vary")
        for method, path, body in asked
    }
    assert set(found.values()) == {vary}, found
