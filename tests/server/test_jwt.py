"""JSON web tokens over HTTP: who they are let in as, what is refused, and how keys come and go."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from bus import Client
from bus.wire import EVENT_ID, NDJSON
from tests.broken_jwts import ED, KEYS, broken_jwts
from tests.conftest import StartServer
from tests.issuer import AUDIENCE, NAME, SigningKey, claims, key_set, signing_key
from tests.key_server import key_server
from tests.server.access import TokenFile, ask, opened, publish, settle, stream, told
from tests.server.support import refusal, target
from tests.support import ServerProcess, raw

READER = {"subscribe": ["app.>"]}


class IssuerFile(TokenFile):
    """A token file that takes JWTs as well, by keys that are in a file beside it or at an address."""

    def __init__(
        self, path: Path, keys: Sequence[SigningKey] = KEYS, *, address: str = "", **rights: dict[str, object]
    ):
        self.keys = path.with_name("keys.json")
        self.address = address
        if not address:
            self.publish(*keys)
        super().__init__(path, **rights)

    def publish(self, *keys: SigningKey) -> None:
        """Replace the file of keys."""
        new = self.keys.with_suffix(".new")
        new.touch(0o600)
        new.write_text(key_set(*keys))
        new.replace(self.keys)

    def write_text(self, text: str) -> None:
        table = {"issuer": NAME, "audience": AUDIENCE, "jwks": self.address or self.keys.name}
        lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in table.items()]
        super().write_text("\n".join([text, "[jwt]", *lines, ""]))

    @property
    def flags(self) -> list[str]:
        return ["--auth", str(self.path)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> IssuerFile:
    return IssuerFile(tmp_path_factory.mktemp("auth") / "tokens.toml", alice={"admin": True})


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str], file: IssuerFile
) -> Iterator[ServerProcess]:
    found = ServerProcess(tmp_path_factory.mktemp("jwt") / "data", flags=[*file.flags, "--access-log"], bus=bus_command)
    yield found
    found.close()


# -- who it is


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_a_jwt_may_what_it_says(server: ServerProcess, key: SigningKey) -> None:
    token = key.sign(claims())
    assert publish(server, token, "app.a").status == 202
    forbidden = "jwt:alice may not publish to orders.a: no publish pattern takes it"
    assert refusal(publish(server, token, "orders.a")) == (403, forbidden)


def test_the_sdk_takes_one(server: ServerProcess) -> None:
    with Client(server.url, token=lambda: ED.sign(claims())) as client:
        assert client.put("app.a", 1).index


def test_logs_name_who_it_is_and_show_no_token(server: ServerProcess) -> None:
    token = ED.sign(claims("bob"))
    publish(server, token, "orders.a")
    assert msgspec.json.decode(server.wait_for_log('"jwt:bob"'))["allowed"] is False
    assert "127.0.0.1 jwt:bob POST / 403" in server.wait_for_log("jwt:bob POST")
    assert not any(part in server.log for part in token.split("."))


def test_broken_ones_are_refused_and_not_shown(server: ServerProcess) -> None:
    for broken in broken_jwts():
        status, said = refusal(publish(server, broken.token, "app.a"))
        assert (status, broken.said in said) == (401, True), broken.what
    assert not any(broken.token.split(".")[2] in server.log for broken in broken_jwts() if broken.token.split(".")[2])


def test_a_key_that_is_not_known(server: ServerProcess) -> None:
    status, said = refusal(publish(server, signing_key("new").sign(claims()), "app.a"))
    assert (status, said) == (401, "the JWT's key is not known here: it was taken out, or is of another issuer")


def test_who_has_the_name_of_a_token_is_somebody_else(server: ServerProcess, file: IssuerFile) -> None:
    assert publish(server, file.tokens["alice"], "app.settled").status == 202
    with stream(server, file.tokens["alice"], "app.settled", start="oldest", ack="manual") as found:
        (event,) = found.take(1)
        consumer, event_id = opened(found), event.id or ""
        named_alike = ED.sign(claims("alice", bus={"subscribe": ["app.>"], "publish": ["app.>"]}))
        assert settle(server, named_alike, consumer, event_id).status == 404
        assert settle(server, file.tokens["alice"], consumer, event_id).status == 202


def test_a_newer_jwt_of_the_same_is_the_same(server: ServerProcess) -> None:
    rights = {"subscribe": ["app.>"], "publish": ["app.>"]}
    older, newer = (ED.sign(claims("carol", exp=int(time.time()) + seconds, bus=rights)) for seconds in (600, 900))
    event_id = publish(server, older, "app.renewed").headers[EVENT_ID.lower()]
    with stream(server, older, "app.renewed", start="oldest", ack="manual") as found:
        found.take(1)
        assert settle(server, newer, opened(found), event_id).status == 202


# -- how long it holds


def test_a_stream_ends_when_its_jwt_expires(server: ServerProcess) -> None:
    soon = ED.sign(claims(exp=int(time.time()) - 57, bus=READER))
    request = f"GET {target('app.>')} HTTP/1.1\r\nHost: bus\r\nAccept: {NDJSON}\r\nAuthorization: Bearer {soon}\r\n\r\n"
    with stream(server, soon, "app.>") as found:
        assert b"jwt:alice has expired" in raw(server.port, request.encode())
        assert told(found).data == b"jwt:alice has expired: ask for another"
    assert refusal(publish(server, soon, "app.a"))[0] == 401


def test_keys_in_a_file_come_and_go(start_server: StartServer, tmp_path: Path) -> None:
    old, new = signing_key("old"), signing_key("new")
    file = IssuerFile(tmp_path / "tokens.toml", [old])
    server = start_server(flags=file.flags)
    with stream(server, old.sign(claims(bus=READER)), "app.>") as found:
        found.take(1, "open")
        file.keys.write_text("<html>")
        server.wait_for_log("keys.json is no key set: it is JSON like")
        assert publish(server, old.sign(claims()), "app.a").status == 202
        file.publish(new)
        assert told(found).data == b"jwt:alice is not known any more: it was revoked"
    assert publish(server, new.sign(claims()), "app.a").status == 202
    assert publish(server, old.sign(claims()), "app.a").status == 401


def test_keys_at_an_address_come_when_they_are_there(start_server: StartServer, tmp_path: Path) -> None:
    old, new = signing_key("old"), signing_key("new")
    with key_server(key_set(old)) as issuer:
        issuer.status = 500
        server = start_server(flags=IssuerFile(tmp_path / "tokens.toml", address=issuer.url).flags)
        server.wait_for_log("it answers 500; no JWT is taken until they are here")
        issuer.status = 200
        _wait_until_taken(server, old)
        issuer.body = key_set(new)
        _wait_until_taken(server, new)
        known = issuer.asked
        while (answer := publish(server, old.sign(claims()), "app.a")).status == 503:
            assert answer.headers["retry-after"] == "1"
        assert refusal(answer)[0] == 401
        assert known < issuer.asked <= 6, "somebody who makes up keys has them fetched without end"
        issuer.body = "<html>"
        assert publish(server, new.sign(claims()), "app.a").status == 202


def _wait_until_taken(server: ServerProcess, key: SigningKey) -> None:
    while (status := publish(server, key.sign(claims()), "app.a").status) == 503:
        pass
    assert status == 202


# -- what it takes


def test_without_the_extra_a_server_does_not_start(start_server: StartServer, tmp_path: Path) -> None:
    blocked = "import sys; sys.modules['jwt'] = None; from bus.__main__ import main; sys.exit(main())"
    file = IssuerFile(tmp_path / "tokens.toml")
    with pytest.raises(AssertionError, match=r"bus: .* is not installed: pip install 'busd\[jwt\]'\n$"):
        start_server(flags=file.flags, bus=[sys.executable, "-c", blocked])


def test_a_server_does_not_start_without_its_keys(start_server: StartServer, tmp_path: Path) -> None:
    file = IssuerFile(tmp_path / "tokens.toml")
    file.keys.chmod(0o666)
    with pytest.raises(AssertionError, match=r"key set .*keys\.json may be written by others"):
        start_server(flags=file.flags)


def test_what_the_file_says_of_jwts_may_change(start_server: StartServer, tmp_path: Path) -> None:
    file = IssuerFile(tmp_path / "tokens.toml", a={"subscribe": ["app.>"]})
    server = start_server(flags=file.flags)
    with stream(server, ED.sign(claims(bus=READER)), "app.>") as found, stream(server, file.tokens["a"], "app.>"):
        TokenFile.write_text(file, file.path.read_text().replace('"bus"', '"other"'))
        assert told(found).data == b"jwt:alice is not known any more: it was revoked"
    assert "its aud has no 'other'" in refusal(publish(server, ED.sign(claims()), "app.a"))[1]
    TokenFile.write_text(file, "[anonymous]")
    server.wait_for_log("0 tokens")
    assert ask(server, ED.sign(claims()), "GET", "/v1/namespaces").status == 401
