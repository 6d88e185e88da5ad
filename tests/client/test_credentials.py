"""What a client is let in by: what is sent, when a token is asked for again, and that none of it is ever shown."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import (
    Client,
    ConnectionFailedError,
    ForbiddenError,
    InvalidParameterError,
    Receipt,
    TooManyRequestsError,
    UnauthorizedError,
)
from bus.client.core.credentials import Credentials
from bus.client.core.request import Endpoint, Requests
from tests.client.conftest import Connect
from tests.client.support import Peer, Wire, accepted, answered, listening, streaming
from tests.client.test_request import Parsed
from tests.support import PATIENCE

SECRET = "bus_0123456789abcdefSECRET"
OPEN = b'event: open\ndata: {"next_index":1}\n\n'
REFUSED = answered(b"401 Unauthorized", b"", b'WWW-Authenticate: Bearer realm="bus"')
FORBIDDEN = answered(b"403 Forbidden", b'{"detail":"may not publish","code":"forbidden"}')

StartPeer = Callable[..., Peer]


def sent(*, userinfo: str = "", **options: Any) -> dict[str, str]:
    """The headers of a request."""
    requests = Requests(Endpoint.parse("http://localhost:2021"), Credentials(userinfo=userinfo, **options))
    return Parsed(requests.ask("readyz")).headers


def authorization(request: bytes) -> bytes:
    """What a request says of who it is, empty if nothing."""
    lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return next((line[15:] for line in lines if line.lower().startswith(b"authorization: ")), b"")


def calls(client: Any) -> list[Callable[[], Any]]:
    """Every way to send a request that is answered at once."""
    return [
        lambda: client.put("app.a", 1),
        lambda: client.put("app.a", 1, key="k"),
        lambda: client.put("app.a", 1, confirm=1),
        lambda: client.put_many([{"subject": "app.a"}, {"subject": "app.b"}]),
        lambda: client.put_many([{"subject": "app.a"}, {"subject": "app.b"}], atomic=False)[1],
        lambda: client.request("app.a", 1),
        lambda: client.ack("c_1", ["e_1", "e_2"]),
        lambda: client.ack("c_1", "e_1"),
        lambda: next(client.get("app.a")),
    ]


EVERY_CALL = range(len(calls(None)))


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the error it raises."""
    try:
        return call()
    except Exception as error:
        return error


def always(answer: bytes) -> Callable[[Wire], list[bytes]]:
    """Answers whatever is asked on a connection, and returns what that was."""

    def play(wire: Wire) -> list[bytes]:
        asked = []
        while True:
            try:
                asked.append(wire.answer(answer))
            except EOFError:
                return asked

    return play


# -- what is sent


def test_a_token_a_user_and_headers_are_sent_as_the_standards_say() -> None:
    assert sent(token=SECRET)["authorization"] == f"Bearer {SECRET}"
    assert sent(userinfo="Aladdin:open sesame")["authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert sent(userinfo="ü:£")["authorization"] == "Basic w7w6wqM="
    assert sent(headers={"X-Api-Key": "k 1", "Authorization": "Digest x"})["x-api-key"] == "k 1"
    assert sent(headers={"authorization": "Digest x"})["authorization"] == "Digest x"


@pytest.mark.parametrize("number", EVERY_CALL)
def test_every_request_carries_them(start_peer: StartPeer, connect: Connect, number: int) -> None:
    peer = start_peer(lambda wire: wire.answer(FORBIDDEN))
    client = connect(peer.url, token=SECRET, headers={"X-Team": "a"})
    assert isinstance(outcome(calls(client)[number]), ForbiddenError)
    assert authorization(peer.result(0)) == f"Bearer {SECRET}".encode()
    assert b"\r\nX-Team: a\r\n" in peer.result(0)


@pytest.mark.parametrize(
    ("url", "userinfo"),
    [
        ("http://me:p%40ss%3A@{}", b"Basic bWU6cEBzczo="),
        ("http://me@{}", b"Basic bWU6"),
        ("http://{}", b""),
    ],
)
def test_a_user_in_the_url_is_sent_as_basic(start_peer: StartPeer, connect: Connect, url: str, userinfo: bytes) -> None:
    peer = start_peer(lambda wire: wire.answer(accepted(1)))
    connect(url.format(peer.url.removeprefix("http://"))).put("app.a")
    request = peer.result(0)
    assert authorization(request) == userinfo
    assert request.count(b"@") == 0


def test_the_environment_gives_a_token_where_nothing_else_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_TOKEN", SECRET)
    assert sent()["authorization"] == f"Bearer {SECRET}"
    assert sent(token="other")["authorization"] == "Bearer other"
    assert sent(userinfo="me:")["authorization"].startswith("Basic ")
    assert sent(headers={"AUTHORIZATION": "x"})["authorization"] == "x"
    assert "authorization" not in sent(token="")


@pytest.mark.parametrize(
    "given",
    [
        {"token": SECRET, "userinfo": "me:x"},
        {"token": SECRET, "headers": {"Authorization": "x"}},
        {"userinfo": "me:x", "headers": {"authorization": "x"}},
    ],
)
def test_two_who_say_who_it_is_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError, match="give one of them"):
        Credentials(**given)


@pytest.mark.parametrize(
    "token", ["a b", "a\r\nX: y", "a\n", "ä", "\x00", " a", "\ud800"]
)  # fmt: skip
def test_a_token_that_would_be_more_than_one_word_is_refused(token: str) -> None:
    for given_as in (token, lambda: token):
        with pytest.raises(InvalidParameterError, match="the token can't be sent") as caught:
            Credentials(token=given_as).lines()
        assert token not in str(caught.value)


OURS = [
    "Host",
    "content-length",
    "Transfer-Encoding",
    "Connection",
    "Accept",
    "Content-Type",
    "Last-Event-ID",
    "Expect",
]


@pytest.mark.parametrize("name", OURS)
def test_headers_that_bus_sets_are_refused(connect: Connect, name: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"header {name} can't be given: Bus sets it itself"):
        connect("http://localhost:2021", headers={name: "x"})


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä", "(x)", "a\x00"])
def test_names_of_headers_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(InvalidParameterError, match="no name of a header"):
        Credentials(headers={name: "x"})


@given(st.dictionaries(st.text(max_size=8).map(str.lower), st.text(max_size=12), max_size=3))
def test_any_headers_are_sent_as_they_are_or_refused(headers: dict[str, str]) -> None:
    try:
        arrived = sent(headers=headers)
    except InvalidParameterError:
        return
    assert headers.items() <= arrived.items()


# -- refusals


@pytest.mark.parametrize("number", EVERY_CALL)
@pytest.mark.parametrize(("answer", "kind"), [(REFUSED, UnauthorizedError), (FORBIDDEN, ForbiddenError)])
def test_a_refusal_is_raised_at_once(
    start_peer: StartPeer, connect: Connect, number: int, answer: bytes, kind: type[Exception]
) -> None:
    peer = start_peer(lambda wire: (wire.answer(answer), wire.until_closed()))
    assert type(outcome(calls(connect(peer.url, token=SECRET))[number])) is kind


@pytest.mark.parametrize(("answer", "kind"), [(REFUSED, UnauthorizedError), (FORBIDDEN, ForbiddenError)])
def test_a_stream_that_is_refused_when_it_reconnects_ends_with_that(
    start_peer: StartPeer, connect: Connect, answer: bytes, kind: type[Exception]
) -> None:
    peer = start_peer(
        lambda wire: wire.answer(streaming(OPEN)), lambda wire: (wire.answer(answer), wire.until_closed())
    )
    events = connect(peer.url, token=SECRET).get("app.a")
    with pytest.raises(kind):
        next(events)
    with pytest.raises(StopIteration):
        next(events)


def test_too_many_requests_are_tried_again_when_the_server_says(start_peer: StartPeer, connect: Connect) -> None:
    limited = answered(b"429 Too Many Requests", b"slow down", b"Retry-After: 1")
    peer = start_peer(lambda wire: (wire.answer(limited), wire.answer(accepted(7)), wire.until_closed()))
    assert connect(peer.url).put("app.a").index == 7


@pytest.mark.parametrize("number", EVERY_CALL)
def test_a_wait_beyond_the_time_of_a_call_is_told(start_peer: StartPeer, connect: Connect, number: int) -> None:
    limited = answered(b"429 Too Many Requests", b"slow down", b"Retry-After: 600")
    peer = start_peer(lambda wire: (wire.answer(limited), wire.until_closed()))
    error = outcome(calls(connect(peer.url))[number])
    assert isinstance(error, TooManyRequestsError)
    assert error.retry_after == 600


# -- tokens that change


def rotating() -> Callable[[], str]:
    """A function that returns ``token-1``, ``token-2`` …"""
    numbers = count(1)
    return lambda: f"token-{next(numbers)}"


def test_a_function_is_asked_when_the_first_request_is_made_and_not_again(
    start_peer: StartPeer, connect: Connect
) -> None:
    peer = start_peer(lambda wire: [wire.answer(accepted(index)) for index in range(3)])
    client = connect(peer.url, token=rotating())
    for _ in range(3):
        client.put("app.a")
    assert {authorization(request) for request in peer.result(0)} == {b"Bearer token-1"}


def new_token(wire: Wire) -> list[bytes]:
    """Refuses the first token and takes the second."""
    asked = []
    while True:
        try:
            asked.append(wire.request())
        except EOFError:
            return asked
        wire.send(REFUSED if authorization(asked[-1]) == b"Bearer token-1" else _answer_to(asked[-1]))


def _answer_to(request: bytes) -> bytes:
    if b"application/x-ndjson" in request:
        return answered(b"202 Accepted", b'{"id":"e_1","created_at":"","index":1}\n' * 2)
    return answered(b"200 OK", b"1") if b"wait=reply" in request else accepted(1)


@pytest.mark.parametrize("number", EVERY_CALL[:-1])
def test_a_refused_token_is_replaced_once(start_peer: StartPeer, connect: Connect, number: int) -> None:
    peer = start_peer(new_token, new_token, new_token)
    found = outcome(calls(connect(peer.url, token=rotating()))[number])
    assert found is None or found == 1 or isinstance(found, Receipt), found


@pytest.mark.parametrize("number", EVERY_CALL[:-1])
def test_a_second_refusal_is_final(start_peer: StartPeer, connect: Connect, number: int) -> None:
    peer = start_peer(always(REFUSED))
    client = connect(peer.url, token=rotating())
    assert isinstance(outcome(calls(client)[number]), UnauthorizedError)
    client.close()
    assert [authorization(request) for request in peer.result(0)] == [b"Bearer token-1", b"Bearer token-2"]


def test_a_stream_asks_for_the_token_whenever_it_connects(start_peer: StartPeer, connect: Connect) -> None:
    peer = start_peer(
        lambda wire: authorization(wire.answer(streaming(OPEN))),
        lambda wire: authorization(wire.answer(REFUSED)),
    )
    events = connect(peer.url, token=rotating()).get("app.a")
    with pytest.raises(UnauthorizedError):
        next(events)
    assert [peer.result(0), peer.result(1)] == [b"Bearer token-1", b"Bearer token-2"]


def test_a_token_that_is_not_to_be_had_now_is_asked_for_again(start_peer: StartPeer, connect: Connect) -> None:
    failures = [OSError("the vault is away"), OSError("the vault is away")]

    def ask() -> str:
        if failures:
            raise failures.pop()
        return "there"

    peer = start_peer(*[lambda wire: authorization(wire.answer(accepted(1)))] * 3)
    assert connect(peer.url, token=ask).put("app.a").index == 1


@pytest.mark.parametrize("number", [0, 1, 3, 4, 6, 7, 8])  # the others give the server seconds beyond their timeout
def test_a_token_that_is_never_to_be_had_ends_in_an_error(connect: Connect, number: int) -> None:
    def ask() -> str:
        raise OSError("the vault is away")

    error = outcome(calls(connect("http://127.0.0.1:1", token=ask, timeout=0.1))[number])
    assert isinstance(error, ConnectionFailedError)
    assert "there is no token to send: OSError: the vault is away" in str(error)


# -- nothing of it is shown

URLS = [
    f"http://me:{SECRET}@127.0.0.1:1",
    f"http://{SECRET}@127.0.0.1:1",
    f"http://me:{SECRET}@127.0.0.1:port",
    f"http://me:{SECRET}/x@127.0.0.1:1",
    f"http://me:1/{SECRET}@127.0.0.1:1",
    f"http://me:1#{SECRET}@127.0.0.1:1",
    f"http://me:1?{SECRET}@127.0.0.1:1",
    f"http://me:{SECRET} x@127.0.0.1:1",
    f"me:{SECRET}@127.0.0.1:1",
    f"ftp://me:{SECRET}@127.0.0.1:1",
]


@pytest.mark.parametrize("url", URLS)
def test_a_password_of_a_url_is_in_no_error_repr_or_traceback(connect: Connect, url: str) -> None:
    shown = ""
    try:
        client = connect(url, timeout=0.1)
        shown += repr(client) + repr(vars(client)) if isinstance(client, Client) else repr(client)
        client.put("app.a")
    except Exception as error:
        shown += "".join(traceback.format_exception(error))
    assert "127.0.0.1" in shown
    assert SECRET not in shown


@pytest.mark.parametrize("given", [{"token": SECRET}, {"token": lambda: SECRET}, {"headers": {"X-Key": SECRET}}])
def test_a_token_is_in_no_repr_log_or_traceback(
    start_peer: StartPeer, connect: Connect, caplog: pytest.LogCaptureFixture, given: dict[str, Any]
) -> None:
    caplog.set_level(logging.DEBUG)
    peer = start_peer(
        lambda wire: wire.answer(streaming(OPEN)),
        lambda wire: wire.request(),
        lambda wire: (wire.answer(FORBIDDEN), wire.until_closed()),
    )
    with listening("broke") as broke:
        client = connect(peer.url, **given)
        events = client.get("app.a")
        with pytest.raises(ForbiddenError) as caught:
            next(events)
        assert broke.wait(PATIENCE)
    credentials = Credentials(**given)
    requests = Requests(Endpoint.parse(peer.url), credentials)
    requests.publish(b"{}")
    shown = [repr(each) for each in (client, events, credentials, requests, requests._heads, Endpoint.parse(peer.url))]
    assert all(SECRET not in text for text in (*shown, caplog.text, "".join(traceback.format_exception(caught.value))))
