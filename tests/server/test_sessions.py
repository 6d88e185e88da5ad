"""Signing in from a web page: cookies and tickets stand for a token, and for no more than it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.access import TokenFile, ask, told
from tests.server.support import draft, refusal, target
from tests.support import Answer, ServerProcess, Stream, connect, request

COOKIE = re.compile(r"bus_session=([\w=-]*); Path=/; Max-Age=(\d+); HttpOnly; SameSite=Strict(; Secure)?")


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    """A token that may do some things."""
    return TokenFile(tmp_path / "tokens.toml", None, page={"subscribe": ["app.>"], "publish": ["app.>"]})


@pytest.fixture
def guarded(start_server: StartServer, tokens: TokenFile) -> ServerProcess:
    return start_server(flags=["--auth", str(tokens.path), "--trusted-proxies", "127.0.0.0/8"])


def sign_in(server: ServerProcess, token: str) -> str:
    """A session, as the header that a browser sends from then on."""
    answer = ask(server, token, "POST", "/v1/session")
    assert answer.status == 204, answer
    found = COOKIE.fullmatch(answer.headers["set-cookie"])
    assert found, answer
    return f"bus_session={found[1]}"


def ticket(server: ServerProcess, token: str = "", cookie: str = "") -> str:
    answer = ask(server, token, "POST", "/v1/tickets", Cookie=cookie)
    assert answer.status == 201, answer
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    assert found["expires_in"] == 30
    issued: str = found["ticket"]
    return issued


def read(server: ServerProcess, cookie: str, token: str = "") -> Answer:
    """A stream to its end."""
    return ask(server, token, "GET", target("app.>", start="oldest", follow="false"), Cookie=cookie)


@contextmanager
def following(server: ServerProcess, headers: str, **parameters: object) -> Iterator[Stream]:
    """A stream with some more *headers*."""
    with connect(server.port) as connection:
        head = f"GET {target('app.>', **parameters)} HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n{headers}"
        connection.sendall(f"{head}Accept: text/event-stream\r\n\r\n".encode())
        found = Stream(connection)
        found._read_head()
        yield found


def test_a_session_does_what_its_token_may_also_after_a_restart(guarded: ServerProcess, tokens: TokenFile) -> None:
    cookie = sign_in(guarded, tokens.tokens["page"])
    for _ in range(2):
        assert request(guarded, "POST", "/", draft("app.a"), Cookie=f"other=1; {cookie}").status == 202
        assert read(guarded, cookie).status == 200
        assert request(guarded, "POST", "/", draft("orders.a"), Cookie=cookie).status == 403
        guarded.restart()
    assert (guarded.path / "sessions.key").stat().st_mode & 0o777 == 0o600


def test_a_session_ends_with_its_token_and_its_streams_say_why(guarded: ServerProcess, tokens: TokenFile) -> None:
    cookie = sign_in(guarded, tokens.tokens["page"])
    with following(guarded, f"Cookie: {cookie}\r\n") as stream:
        stream.take(1, "open")
        tokens.revoke("page")
        error = told(stream)
        assert b"revoked" in error.data and error.code == "unauthorized"
    assert read(guarded, cookie).status == 401


def test_a_client_that_leaves_at_the_reason_is_logged_once(start_server: StartServer, tokens: TokenFile) -> None:
    server = start_server(flags=["--auth", str(tokens.path), "--access-log"])
    cookie = sign_in(server, tokens.tokens["page"])
    with following(server, f"Cookie: {cookie}\r\n", ack="none") as stays:
        with following(server, f"Cookie: {cookie}\r\n") as leaves:
            stays.take(1, "open")
            leaves.take(1, "open")
            tokens.revoke("page")
            leaves.take(1, "error")
        told(stays)
    server.stop()
    assert server.log.count(" page GET /?subject=app.") == 2


def test_a_session_that_is_none_is_refused(guarded: ServerProcess, tokens: TokenFile) -> None:
    cookie = sign_in(guarded, tokens.tokens["page"])
    for bad in (cookie[:-4], f"{cookie}AAAA", "bus_session=x", f"bus_session={tokens.tokens['page']}"):
        status, text = refusal(read(guarded, bad))
        assert status == 401 and "begin one anew" in text
    assert read(guarded, "other=1").status == 401
    assert read(guarded, "bus_session=x", tokens.tokens["page"]).status == 200


def test_a_session_is_begun_with_a_token(guarded: ServerProcess, tokens: TokenFile) -> None:
    cookie = sign_in(guarded, tokens.tokens["page"])
    assert request(guarded, "POST", "/v1/session").status == 401
    status, text = refusal(request(guarded, "POST", "/v1/session", Cookie=cookie))
    assert status == 401 and "begun with a token" in text


def test_signing_out_has_the_browser_forget_it(guarded: ServerProcess, tokens: TokenFile) -> None:
    cookie = sign_in(guarded, tokens.tokens["page"])
    answer = request(guarded, "DELETE", "/v1/session", Cookie=cookie)
    found = COOKIE.fullmatch(answer.headers["set-cookie"])
    assert answer.status == 204 and found and (found[1], found[2]) == ("", "0")


@pytest.mark.parametrize("origin", ["", "http://elsewhere.example"])
def test_a_session_that_is_over_can_be_signed_out_of(guarded: ServerProcess, tokens: TokenFile, origin: str) -> None:
    cookie = sign_in(guarded, tokens.tokens["page"])
    tokens.revoke("page")
    guarded.wait_for_log("0 tokens")
    page: dict[str, Any] = {"Origin": origin} if origin else {}
    for over in (cookie, "bus_session=none"):
        answer = request(guarded, "DELETE", "/v1/session", Cookie=over, **page)
        assert (answer.status, "set-cookie" in answer.headers) == ((403, False) if origin else (204, True))


def test_a_session_is_no_longer_than_its_token(guarded: ServerProcess, tokens: TokenFile) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=5)
    tokens.rights["page"] = {**tokens.rights["page"], "expires": ends.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    tokens.write()
    guarded.wait_for_log("1 tokens")
    answer = ask(guarded, tokens.tokens["page"], "POST", "/v1/session")
    found = COOKIE.fullmatch(answer.headers["set-cookie"])
    assert found and int(found[2]) <= 5
    tokens.rights["page"] = {"subscribe": ["app.>"]}
    tokens.add("other", {})
    guarded.wait_for_log("2 tokens")
    with following(guarded, f"Cookie: bus_session={found[1]}\r\n") as stream:
        stream.take(1, "open")
        assert b"has expired" in told(stream).data


def test_a_cookie_of_a_proxy_with_tls_is_secure(guarded: ServerProcess, tokens: TokenFile) -> None:
    for proto, secure in (("https", "; Secure"), ("http", None)):
        answer = ask(guarded, tokens.tokens["page"], "POST", "/v1/session", X_Forwarded_Proto=proto)
        found = COOKIE.fullmatch(answer.headers["set-cookie"])
        assert found and found[3] == secure


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        ("*", "http://elsewhere.example", 403),
        ("http://page.example", "http://elsewhere.example", 403),
        ("http://page.example", "http://page.example", 202),
    ],
)
def test_a_page_of_another_origin_changes_nothing_by_a_cookie_unless_it_is_named(
    start_server: StartServer, tokens: TokenFile, origins: str, origin: str, status: int
) -> None:
    server = start_server(flags=["--auth", str(tokens.path), "--cors-origins", origins])
    cookie = sign_in(server, tokens.tokens["page"])
    answer = request(server, "POST", "/", draft("app.a"), Cookie=cookie, Origin=origin, Sec_Fetch_Site="same-site")
    assert answer.status == status
    allowed = answer.headers.get("access-control-allow-credentials")
    assert allowed == ("true" if status == 202 else None)
    same = request(server, "POST", "/", draft("app.a"), Cookie=cookie, Origin=server.url, Sec_Fetch_Site="same-origin")
    assert same.status == 202


# -- tickets


def test_a_ticket_opens_one_stream(guarded: ServerProcess, tokens: TokenFile) -> None:
    one = ticket(guarded, tokens.tokens["page"])
    with following(guarded, "", ticket=one) as stream:
        stream.take(1, "open")
        with following(guarded, "", ticket=one) as refused:
            assert refused.status == 401
        tokens.revoke("page")
        assert b"revoked" in told(stream).data


def test_a_ticket_is_for_a_stream_alone(guarded: ServerProcess, tokens: TokenFile) -> None:
    one = ticket(guarded, tokens.tokens["page"])
    assert request(guarded, "POST", f"/?ticket={one}", draft("app.a")).status == 401
    assert request(guarded, "GET", f"/v1/namespaces?ticket={one}").status == 401
    assert request(guarded, "GET", target("orders.>", ticket=one, follow="false")).status == 403
    assert request(guarded, "GET", target("app.>", ticket="x" * 43, follow="false")).status == 401


def test_a_session_gets_tickets(guarded: ServerProcess, tokens: TokenFile) -> None:
    cookie = sign_in(guarded, tokens.tokens["page"])
    one = ticket(guarded, cookie=cookie)
    assert request(guarded, "GET", target("app.>", ticket=one, follow="false")).status == 200


def test_without_tokens_a_page_may_do_the_same(bus: ServerProcess) -> None:
    one = ticket(bus, "any")
    assert request(bus, "GET", target("app.>", ticket=one, follow="false")).status == 200
    assert ask(bus, "any", "POST", "/v1/session").status == 204


def test_nothing_secret_is_in_the_log(start_server: StartServer, tokens: TokenFile) -> None:
    server = start_server(flags=["--auth", str(tokens.path), "--access-log", "--log-level", "DEBUG"])
    cookie = sign_in(server, tokens.tokens["page"])
    one = ticket(server, cookie=cookie)
    request(server, "GET", target("app.>", ticket=one, follow="false"))
    request(server, "GET", target("app.>", ticket=one, follow="false"))
    read(server, f"{cookie[:-4]}XXXX")
    server.stop()
    for secret in (cookie.partition("=")[2][:40], one, tokens.tokens["page"]):
        assert secret not in server.log


def test_a_key_that_is_none_ends_the_start(start_server: StartServer, tokens: TokenFile) -> None:
    server = start_server(flags=["--auth", str(tokens.path)])
    server.stop()
    (server.path / "sessions.key").write_bytes(b"short")
    with pytest.raises(AssertionError, match="remove it, and everybody signs in again"):
        server.start()
