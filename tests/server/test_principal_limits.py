"""Limits of tokens and of whoever is anonymous: what is beyond them is refused, and the SDK waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice

import pytest

from bus import AsyncClient, Client
from bus.access.limits import Limits
from bus.client.core.draft import EventFields
from bus.errors import TooManyRequestsError
from bus.server.api.principal_limits import HeldStreams
from bus.wire import NDJSON
from tests.server.access import Rights, TokenFile, ask, opened, publish, stream
from tests.server.support import draft, refusal
from tests.support import Answer, ServerProcess, connect, request

EVERYTHING: Rights = {"publish": ["app.>"], "subscribe": ["app.>"], "consumers": ["*"]}
TOKENS: dict[str, Rights] = {
    name: {**EVERYTHING, "limits": limits}
    for name, limits in {
        "few": {"requests": "3/h"},
        "small": {"bytes": "1KB/h"},
        "reader": {"streams": 2, "consumers": 1},
        "none": {"streams": 0, "consumers": 0},
        "patient": {"requests": "3/500ms"},
        "blocking": {"requests": "3/500ms"},
        "slow": {"bytes": "1MB/100ms"},
        "changing": {"requests": "1/h"},
    }.items()
}
PROXIED = ["--trusted-proxies", "127.0.0.1"]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> TokenFile:
    anonymous = {"subscribe": ["app.>"], "limits": {"requests": "2/h", "streams": 1}}
    return TokenFile(tmp_path_factory.mktemp("auth") / "tokens.toml", anonymous, **TOKENS, free=EVERYTHING)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str], file: TokenFile
) -> Iterator[ServerProcess]:
    """A server that takes this machine for a proxy, so that whoever is anonymous can be somebody else."""
    flags = ["--auth", str(file.path), *PROXIED]
    found = ServerProcess(tmp_path_factory.mktemp("limits") / "data", flags=flags, bus=bus_command)
    yield found
    found.close()


def test_a_token_is_held_to_its_requests_over_all_connections(server: ServerProcess, file: TokenFile) -> None:
    few = file.tokens["few"]
    assert [publish(server, few, "app.a").status for _ in range(2)] == [202, 202]
    assert ask(server, few, "PUT", "/?consumer_id=c_1&event_id=e_1").status == 404
    for method, path in (("POST", "/"), ("GET", "/?subject=app.a"), ("PUT", "/"), ("GET", "/v1/namespaces")):
        refused = ask(server, few, method, path)
        assert refused.status == 429 and 0 < int(refused.headers["retry-after"]) <= 1200
    lines = ask(server, few, "POST", "/", draft("app.a"), Content_Type=NDJSON)
    assert refusal(lines)[1].startswith("token few is over its limit of requests, 3/h: try again in ")
    assert ask(server, few, "GET", "/healthz").status == 200
    assert publish(server, file.tokens["free"], "app.a").status == 202


def test_a_token_is_held_to_its_bytes(server: ServerProcess, file: TokenFile) -> None:
    small, event = file.tokens["small"], draft("app.a", "x" * 2000)
    first, second = (ask(server, small, "POST", "/", event) for _ in range(2))
    assert first.status == 202
    assert "token small is over its limit of bytes, 1000/h" in refusal(second)[1]
    assert ask(server, small, "GET", "/v1/namespaces").status == 200


def test_an_upload_is_slowed_down(server: ServerProcess, file: TokenFile) -> None:
    lines = b"\n".join([draft("app.a", "x" * 10_000)] * 200)
    assert len(ask(server, file.tokens["slow"], "POST", "/", lines, Content_Type=NDJSON).body.splitlines()) == 200


@pytest.mark.parametrize("accept", ["text/event-stream", NDJSON])
def test_a_token_has_so_many_streams_open_at_once(server: ServerProcess, file: TokenFile, accept: str) -> None:
    reader = file.tokens["reader"]
    with ExitStack() as streams:
        for _ in range(2):
            opened(streams.enter_context(stream(server, reader, "app.a", accept=accept)))
        refused = ask(server, reader, "GET", "/?subject=app.a")
        assert (refused.status, refused.headers["retry-after"]) == (429, "5")
        assert refusal(refused)[1] == (
            "token reader is over its limit of streams, 2 at once: try again when one is closed"
        )  # fmt: skip
        assert publish(server, reader, "app.a").status == 202
    assert _as_soon_as_there_is_room(server, reader, "/?subject=app.a&follow=false").status == 200
    assert ask(server, file.tokens["none"], "GET", "/?subject=app.a").status == 429


def test_a_token_uses_so_many_consumers_at_once(server: ServerProcess, file: TokenFile) -> None:
    reader = file.tokens["reader"]
    with stream(server, reader, "app.a", ack="manual", consumer="one") as first:
        opened(first)
        with stream(server, reader, "app.a", ack="manual", consumer="one") as again:
            opened(again)
        other = "/?subject=app.a&ack=manual&consumer=two&follow=false"
        refused = _as_soon_as_there_is_room(server, reader, "/?subject=app.a&follow=false")
        assert refused.status == 200
        refused = ask(server, reader, "GET", other)
        assert (refused.status, "durable consumers, 1 in use at once" in refusal(refused)[1]) == (429, True)
        assert b'"two"' not in ask(server, file.tokens["free"], "GET", "/v1/consumers").body
    assert _as_soon_as_there_is_room(server, reader, other).status == 200


def _as_soon_as_there_is_room(server: ServerProcess, token: str, path: str) -> Answer:
    """The server hears that a connection has ended soon, and not at once."""
    while (answer := ask(server, token, "GET", path)).status == 429:
        pass
    return answer


def test_the_anonymous_are_held_to_theirs_by_address(server: ServerProcess) -> None:
    for address in ("203.0.113.1", "203.0.113.2"):
        asked = [request(server, "GET", "/v1/namespaces", X_Forwarded_For=address).status for _ in range(3)]
        assert asked == [200, 200, 429]
    head = b"GET /?subject=app.a HTTP/1.1\r\nHost: bus\r\nX-Forwarded-For: 203.0.113.3\r\n\r\n"
    with connect(server.port) as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        refused = request(server, "GET", "/?subject=app.a", X_Forwarded_For="203.0.113.3")
        assert "203.0.113.3 is over its limit of streams, 1 at once" in refusal(refused)[1]


def test_a_new_file_may_change_limits_and_forgets_nothing_else(server: ServerProcess, file: TokenFile) -> None:
    changing = file.tokens["changing"]
    assert [publish(server, changing, "app.a").status for _ in range(2)] == [202, 429]
    file.rights["changing"] = {**EVERYTHING, "limits": {"requests": "1/h", "bytes": "1MB/s"}}
    file.write()
    server.wait_for_log("token file")
    assert publish(server, changing, "app.a").status == 429
    file.rights["changing"] = EVERYTHING
    file.write()
    while publish(server, changing, "app.a").status == 429:  # the file is looked at within a second
        pass


def _events(subject: str, numbers: Iterable[int]) -> list[EventFields]:
    return [{"subject": subject, "payload": number} for number in numbers]


def _everything_blocking(url: str, token: str) -> list[object]:
    with Client(url, token=token) as client:
        for number in range(4):
            client.put("app.blocking", number)
        client.put_many(_events("app.blocking", (4, 5)))
        client.put_many(_events("app.blocking", (6, 7)), atomic=False)
        found = client.get("app.blocking", start="oldest")
        return [event.payload for event in islice(found, 8)]


async def _everything(url: str, token: str) -> list[object]:
    async with AsyncClient(url, token=token) as client:
        await asyncio.gather(*[client.put("app.patient", number) for number in range(4)])
        await client.put_many(_events("app.patient", (4, 5)))
        await client.put_many(_events("app.patient", (6, 7)), atomic=False)
        found = client.get("app.patient", start="oldest", follow=False)
        payloads = [event.payload async for event in found]
        again = client.get("app.patient", start="oldest", follow=False)
        assert payloads == [event.payload async for event in again]
        return payloads


def test_the_sdk_waits_until_it_may_go_on(server: ServerProcess, file: TokenFile) -> None:
    with ThreadPoolExecutor() as threads:
        blocking = threads.submit(_everything_blocking, server.url, file.tokens["blocking"])
        assert asyncio.run(_everything(server.url, file.tokens["patient"])) == list(range(8))
        assert blocking.result() == list(range(8))


def test_streams_are_counted_by_owner_and_consumer() -> None:
    held, limits = HeldStreams(), Limits(streams=3, consumers=1)
    for consumer in (None, "a", "a"):
        held.check("one", limits, consumer)
        held.begin("one", consumer)
    with pytest.raises(TooManyRequestsError, match="streams"):
        held.check("one", limits, "a")
    held.check("two", limits, "b")
    held.end("one", None)
    with pytest.raises(TooManyRequestsError, match="consumers"):
        held.check("one", limits, "b")
    held.check("one", limits, None)
    for _ in range(2):
        held.end("one", "a")
    held.check("one", limits, "b")
    assert repr(held) == "<HeldStreams of 0 owners>"
