"""Rights by the name in a client's certificate."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.authority import Authority, Identity
from tests.conftest import StartServer
from tests.server.access import TokenFile, told
from tests.server.bare_tls import read_to_end
from tests.server.support import draft, target
from tests.support import ServerProcess, Stream, connect


class Ground:
    """A server that asks for certificates, its token file, and clients of it by the names they are known by."""

    def __init__(self, directory: Path, bus: Sequence[str]) -> None:
        self.authority = Authority(directory)
        self.file = TokenFile(
            directory / "tokens.toml", {"subscribe": ["app.public.>"]}, other={"publish": ["orders.>"]}
        )
        self.file.certs = {"shop.example": {"publish": ["app.>"], "subscribe": ["app.shop.*"]}}
        self.file.write()
        flags = ["--auth", str(self.file.path), "--tls-client-ca", str(self.authority.path)]
        self.server = ServerProcess(directory / "data", flags=flags, bus=bus, authority=self.authority)
        self._identities: dict[str, Identity] = {}

    def connect(self, name: str) -> AbstractContextManager[socket.socket]:
        identity = self._identities.setdefault(name, self.authority.issue(name, name))
        return connect(self.server.port, tls=self.authority.client_context(identity))

    def ask(self, name: str, line: str, body: bytes = b"", *, token: str = "") -> bytes:
        shown = f"Authorization: Bearer {token}\r\n" if token else ""
        head = f"{line} HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n{shown}Content-Length: {len(body)}\r\n\r\n"
        with self.connect(name) as connection:
            connection.sendall(head.encode() + body)
            return read_to_end(connection)

    @contextmanager
    def stream(self, name: str, subject: str) -> Iterator[Stream]:
        with self.connect(name) as connection:
            connection.sendall(
                f"GET {target(subject)} HTTP/1.1\r\nHost: bus\r\nAccept: text/event-stream\r\n\r\n".encode()
            )
            found = Stream(connection)
            found._read_head()
            yield found


@pytest.fixture
def ground(tmp_path: Path, bus_command: Sequence[str]) -> Iterator[Ground]:
    found = Ground(tmp_path, bus_command)
    yield found
    found.server.close()


EVENT = draft("app.shop.a")


def test_a_certificate_has_the_rights_of_its_table_and_a_token_counts_before_it(ground: Ground) -> None:
    assert b" 202 " in ground.ask("shop.example", "POST /", EVENT)
    refused = ground.ask("shop.example", "POST /", draft("orders.a"))
    assert b" 403 " in refused and b"certificate shop.example may not publish to orders.a" in refused
    token = ground.file.tokens["other"]
    assert b" 202 " in ground.ask("shop.example", "POST /", draft("orders.a"), token=token)
    assert b"token other may not publish to app.shop.a" in ground.ask("shop.example", "POST /", EVENT, token=token)
    assert b" 401 " in ground.ask("shop.example", "POST /", EVENT, token=token[:-1])
    ground.server.wait_for_log('"who":"everybody"')
    audited = [msgspec.json.decode(line) for line in ground.server.log.splitlines() if line.startswith("{")]
    assert [line["who"] for line in audited] == ["shop.example", "other", "everybody"]


def test_a_certificate_without_a_table_is_anonymous(ground: Ground) -> None:
    assert b" 200 " in ground.ask("stranger.example", "GET /?subject=app.public.>&follow=false")
    assert b" 401 " in ground.ask("stranger.example", "POST /", EVENT)


def test_requests_over_one_connection_are_each_of_who_asks(ground: Ground) -> None:
    """What is remembered of one connection's client is not of the next one's with the same head."""
    head = f"POST / HTTP/1.1\r\nHost: bus\r\nContent-Length: {len(EVENT)}\r\n\r\n".encode()
    token = head.replace(b"\r\n\r\n", f"\r\nAuthorization: Bearer {ground.file.tokens['other']}\r\n\r\n".encode())
    for name, expected in (("shop.example", [202, 403, 202]), ("stranger.example", [401, 403, 401])):
        with ground.connect(name) as connection:
            statuses = []
            for one in (head, token, head):
                connection.sendall(one + EVENT)
                statuses.append(int(connection.recv(65536).split(b" ", 2)[1]))
            assert statuses == expected


def test_a_file_that_names_certificates_nobody_is_asked_for_is_warned_of(
    start_server: StartServer, tmp_path: Path
) -> None:
    file = TokenFile(tmp_path / "tokens.toml", some={"publish": ["app.>"]})
    server = start_server(flags=["--auth", str(file.path)])
    assert "no client is asked for one" not in server.log
    file.certs = {"shop.example": {"publish": ["app.>"]}}
    file.write()
    assert " WARNING " in server.wait_for_log("names certificates, and no client is asked for one: --tls-client-ca")


def test_a_stream_is_judged_again_when_its_certificates_table_changes(ground: Ground) -> None:
    with ground.stream("shop.example", "app.shop.*") as found:
        found.take(1, "open")
        ground.file.certs["shop.example"] = {"subscribe": ["app.shop.>"]}
        ground.file.write()
        ground.server.wait_for_log("2 tokens")
        ground.file.certs = {}
        ground.file.write()
        assert b"a token is needed to subscribe to app.shop.*" in told(found).data


def test_a_stream_ends_when_its_certificates_table_is_gone(ground: Ground) -> None:
    ground.file.anonymous = None
    ground.file.write()
    with ground.stream("shop.example", "app.shop.*") as found:
        found.take(1, "open")
        ground.file.certs = {}
        ground.file.write()
        assert told(found).data == b"certificate shop.example is not known any more: it was revoked"
