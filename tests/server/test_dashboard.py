"""The dashboard's files, who is sent to them, and what their page may change for whom."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import msgspec
import pytest

from bus.ui.files import page_file_names, read_page_file
from tests.conftest import StartServer
from tests.server.access import TokenFile
from tests.server.support import draft, refusal
from tests.support import ServerProcess, request

BROWSER: dict[str, Any] = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
MOST_SENT = 48_000
"""Bytes of all files, each compressed as it is sent: the 48 kB that the documentation promises. What is loaded
at first, `tests/ui/test_views.py` measures."""


@pytest.mark.parametrize("name", page_file_names())
def test_each_file_is_served_as_it_is(bus: ServerProcess, name: str) -> None:
    file = read_page_file(name)
    assert file
    plain = request(bus, "GET", f"/ui/{name}")
    packed = request(bus, "GET", f"/ui/{name}", Accept_Encoding="gzip, deflate, br")
    assert (plain.status, plain.body, plain.headers["content-type"]) == (200, file.content, file.media_type)
    assert (packed.headers["content-encoding"], gzip.decompress(packed.body)) == ("gzip", file.content)
    for answer in (plain, packed):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["vary"] == "Accept-Encoding"
    known = request(bus, "GET", f"/ui/{name}", If_None_Match=f'W/"other", {plain.headers["etag"]}')
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", plain.headers["etag"])


def test_all_of_it_is_small() -> None:
    sent = [file for name in page_file_names() if (file := read_page_file(name))]
    assert sum(len(file.packed) for file in sent) < MOST_SENT


def test_comments_stay_and_lines_keep_their_numbers() -> None:
    source = files("bus.ui").joinpath("page/api.js").read_bytes()
    sent = read_page_file("api.js")
    assert sent and len(sent.content.splitlines()) == len(source.splitlines())
    assert b"// Asking the server" in source and b"// Asking the server" not in sent.content
    assert b"export function url(path, query = {}) {" in sent.content
    style, sent_style = files("bus.ui").joinpath("page/app.css").read_bytes(), read_page_file("app.css")
    assert sent_style and len(sent_style.content.splitlines()) == len(style.splitlines())
    assert b"/*" in style and b"/*" not in sent_style.content


def test_a_connection_goes_on_after_what_a_browser_has(bus: ServerProcess) -> None:
    tag = request(bus, "GET", "/ui/app.css").headers["etag"]
    for _ in range(2):
        assert request(bus, "GET", "/ui/app.css", If_None_Match=tag).status == 304


MISSING = ["nothing.js", "views/nothing.js", "../files.py", "%2e%2e/files.py", "views/..%2fapp.css", "%00", "views/"]


@pytest.mark.parametrize("path", [f"/ui/{name}" for name in MISSING])
def test_there_are_no_others(bus: ServerProcess, path: str) -> None:
    assert request(bus, "GET", path).status == 404


@pytest.mark.parametrize("path", ["/", "/ui"])
def test_a_person_with_a_browser_is_sent_to_the_page(bus: ServerProcess, path: str) -> None:
    answer = request(bus, "GET", path, **BROWSER)
    assert (answer.status, answer.headers["location"]) == (303, "ui/")
    page = request(bus, "GET", "/ui/", **BROWSER)
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("accept", ["*/*", "text/event-stream", "application/x-ndjson"])
def test_others_are_told_that_they_need_a_subject(bus: ServerProcess, accept: str) -> None:
    status, text = refusal(request(bus, "GET", "/", Accept=accept))
    assert status == 400 and "subject" in text
    assert request(bus, "GET", "/").status == 400
    assert request(bus, "GET", "/", Accept="text/html, application/json").status == 400


def test_a_browser_that_asks_for_a_subject_gets_its_events(bus: ServerProcess, subject: str) -> None:
    answer = request(bus, "GET", f"/?subject={subject}&follow=false", **BROWSER)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")


def test_the_page_is_for_everybody_and_what_it_asks_is_not(start_server: StartServer, tmp_path: Any) -> None:
    server = start_server(flags=["--auth", str(TokenFile(tmp_path / "tokens.toml", None, root={"admin": True}).path)])
    assert request(server, "GET", "/", **BROWSER).status == 303
    assert request(server, "GET", "/ui/").status == 200
    assert request(server, "GET", "/v1/namespaces", Sec_Fetch_Site="same-origin").status == 401


ELSEWHERE: dict[str, Any] = {"X_Forwarded_For": "203.0.113.9"}
"""Somebody on another machine, as a trusted proxy says."""

WRITES = [
    ("POST", "/", draft("app.a")),
    ("PUT", "/v1/consumers/c", b'{"patterns": ["app.>"]}'),
    ("POST", "/v1/consumers/c/position", b'{"to": "newest"}'),
    ("DELETE", "/v1/consumers/c", b""),
    ("GET", "/?subject=app.a&ack=manual&follow=false", b""),
]


@pytest.fixture
def behind(start_server: StartServer) -> ServerProcess:
    return start_server(flags=["--trusted-proxies", "127.0.0.1", "--cors-origins", "https://friend.example,*"])


def _page(server: ServerProcess, *, old: bool = False) -> dict[str, Any]:
    """What a browser says of the dashboard of *server*; an *old* one, or one without TLS, names the origin alone."""
    return {"Origin": f"http://127.0.0.1:{server.port}"} | ({} if old else {"Sec_Fetch_Site": "same-origin"})


@pytest.mark.parametrize("old", [False, True])
def test_without_tokens_the_page_changes_nothing_from_another_machine(behind: ServerProcess, old: bool) -> None:
    page = _page(behind, old=old)
    for method, path, body in WRITES:
        status, text = refusal(request(behind, method, path, body, **page, **ELSEWHERE))
        assert (status, "--auth" in text) == (403, True), (method, path)
    assert request(behind, "GET", "/v1/consumers", **page, **ELSEWHERE).status == 200
    assert "--auth" in _read_only(behind, page | ELSEWHERE)
    assert request(behind, "GET", "/?subject=app.a&follow=false", **page, **ELSEWHERE).status == 200


@pytest.mark.parametrize(
    "headers",
    [ELSEWHERE, {"Origin": "https://friend.example", "Sec_Fetch_Site": "same-origin", **ELSEWHERE}, {}],
    ids=["programs", "origins that are named", "this machine"],
)
def test_others_may_change_what_they_could(behind: ServerProcess, headers: dict[str, Any]) -> None:
    page = {} if headers else _page(behind)
    _expect(behind, page | headers, [202, 201, 200, 204, 200])
    if headers is not ELSEWHERE:
        assert _read_only(behind, page | headers) == ""


def _read_only(server: ServerProcess, headers: dict[str, Any]) -> str:
    """What the page is told of it, before it offers anything."""
    found: dict[str, str] = msgspec.json.decode(request(server, "GET", "/v1/server", **headers).body)
    return found.get("read_only", "")


def _expect(server: ServerProcess, headers: dict[str, Any], statuses: Sequence[int]) -> None:
    found = [request(server, method, path, body, **headers).status for method, path, body in WRITES]
    assert found == statuses


def test_with_tokens_the_page_may_what_the_token_may(start_server: StartServer, tmp_path: Any) -> None:
    tokens = TokenFile(tmp_path / "tokens.toml", None, root={"admin": True})
    server = start_server(flags=["--auth", str(tokens.path), "--trusted-proxies", "127.0.0.1"])
    headers = _page(server) | ELSEWHERE | {"Authorization": f"Bearer {tokens.tokens['root']}"}
    _expect(server, headers, [202, 201, 200, 204, 200])
