"""Who asks, behind a proxy: the client's address, and the person whom an OpenID Connect proxy has signed in.

The latter is a stand-in that answers as oauth2-proxy does: with the person's JWT for a cookie that it knows.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme

from bus.wire import SSE
from tests.broken_jwts import ED
from tests.conftest import StartServer
from tests.issuer import claims
from tests.proxies.conftest import StartProxy
from tests.proxies.support import OIDC, Proxy, is_installed
from tests.server.support import draft, target
from tests.server.test_jwt import IssuerFile
from tests.support import PATIENCE, ServerProcess, Stream

CLIENT = "127.0.0.2"
"""An address of this machine that no proxy has."""

FORGED = "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=198.51.100.1;proto=https\r\nX-Forwarded-Proto: https\r\n"
RIGHTS = {"publish": ["app.>"], "subscribe": ["app.>"]}
FLAGS = ["--trusted-proxies", "127.0.0.1", "--access-log"]


@contextmanager
def _dial(proxy: Proxy, line: str, headers: str = "", body: bytes = b"") -> Iterator[socket.socket]:
    """A connection of the client to *proxy*, on which it has asked for something."""
    address = ("127.0.0.1", proxy.port)
    with socket.create_connection(address, timeout=PATIENCE, source_address=(CLIENT, 0)) as connection:
        head = f"{line} HTTP/1.1\r\nHost: bus\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        connection.sendall(head.encode() + body)
        yield connection


def _ask(proxy: Proxy, line: str, headers: str = "", body: bytes = b"") -> bytes:
    """The whole answer."""
    with _dial(proxy, line, headers, body) as connection:
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_the_client_is_who_asked_the_proxy_whatever_it_says(start_server: StartServer, start_proxy: StartProxy) -> None:
    server = start_server(flags=FLAGS)
    proxy = start_proxy(server)
    for headers in ("", FORGED):
        assert b" 200 " in _ask(proxy, "GET /v1/namespaces", headers)
    server.stop()
    assert server.log.count(f"bus.access {CLIENT} - GET /v1/namespaces 200") == 2


class SignIn(BaseHTTPRequestHandler):
    """Knows people by the cookie that it gave them."""

    def do_GET(self) -> None:
        name = (self.headers["Cookie"] or "").partition("_oauth2_proxy=")[2]
        self.send_response(202 if name and self.path.partition("?")[0] == "/oauth2/auth" else 401)
        if name:
            self.send_header("Authorization", f"Bearer {ED.sign(claims(name, bus=RIGHTS))}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A server that takes JWTs, behind a proxy that asks the stand-in for them; ``root`` is a token of the server's."""

    server: ServerProcess
    proxy: Proxy
    root: str


@pytest.fixture(params=OIDC)
def ground(request: pytest.FixtureRequest, start_server: StartServer, tmp_path: Path) -> Iterator[Ground]:
    kind: str = request.param
    if not is_installed(kind):
        pytest.skip(f"{kind} isn't installed")
    file = IssuerFile(tmp_path / "tokens.toml", root={"admin": True})
    server = start_server(flags=[*file.flags, *FLAGS])
    sign_in = ThreadingHTTPServer(("127.0.0.1", 0), SignIn)
    threading.Thread(target=sign_in.serve_forever, daemon=True).start()
    proxy = Proxy(OIDC[kind], server, tmp_path / kind, trustme.CA(), sign_in=sign_in.server_port)
    proxy.start()
    yield Ground(server, proxy, file.tokens["root"])
    proxy.stop()
    sign_in.shutdown()
    sign_in.server_close()


ALICE = "Cookie: _oauth2_proxy=alice\r\n"


def test_people_have_the_rights_of_their_tokens(ground: Ground) -> None:
    for headers in (ALICE, f"{ALICE}Authorization: Bearer {ground.root}\r\n", ALICE + FORGED):
        assert b" 202 " in _ask(ground.proxy, "POST /", headers, draft("app.a"))
        refused = _ask(ground.proxy, "POST /", headers, draft("orders.a"))
        assert b" 403 " in refused and b"jwt:alice may not publish to orders.a" in refused
    ground.server.stop()
    assert ground.server.log.count(f"bus.access {CLIENT} jwt:alice POST / 202") == 3


def test_nobody_gets_by_who_is_not_signed_in(ground: Ground) -> None:
    for headers in ("", "Cookie: other=1\r\n", f"Authorization: Bearer {ground.root}\r\n"):
        assert b" 401 " in _ask(ground.proxy, "POST /", headers, draft("app.a"))
    ground.server.stop()
    assert "bus.access" not in ground.server.log


def test_a_page_listens_by_its_cookie(ground: Ground) -> None:
    with _dial(ground.proxy, f"GET {target('app.>')}", f"{ALICE}Accept: {SSE}\r\n") as connection:
        stream = Stream(connection)
        stream._read_head()
        assert stream.status == 200, stream
        assert stream.next().kind == "open"
        for number in range(3):
            event_id = _publish(ground, number)
            assert [event.id for event in stream.take(1)] == [event_id]


def _publish(ground: Ground, number: int) -> str:
    answer = _ask(ground.proxy, "POST /", ALICE, draft("app.a", number))
    found = re.search(rb"x-bus-event-id: (\S+)", answer, re.IGNORECASE)
    assert found, answer
    return found[1].decode()
