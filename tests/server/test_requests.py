"""What is a request and what isn't: the checks that llhttp leaves to us, and its own, answered and closed on."""

from __future__ import annotations

import pytest

from tests.server.support import Peer, dial, draft, publish, read
from tests.support import ServerProcess, connect

pytestmark = pytest.mark.every_engine

CHUNKED = b"Transfer-Encoding: chunked"


def _goes_on(peer: Peer) -> bool:
    try:
        peer.send(b"HEAD / HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n")
        return peer.rest().startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"\r\n\r\nHEAD / HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD http://elsewhere:80/ HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD http://elsewhere HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nhOsT:bus\r\n\r\n", 400),
        (b"HEAD /?start=1#b HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD http://elsewhere?start=1 HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD HTTP://elsewhere/healthz HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD hTTpS://[::1]:1//healthz HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD // HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD ///?start=oldest HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD //healthz HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD / HTTP/1.2\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD / HTTP/1.9\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\nExpect:\r\n\r\n", 200),
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\nExpect: 100-Continue\r\n\r\n", 200),
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\nContent-Encoding: br\r\n\r\n", 200),
        (b"OPTIONS * HTTP/1.1\r\nHost: bus\r\n\r\n", 204),
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\nX-A:\r\nX-B:   \t b \r\n\r\n", 200),
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 200),
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n", 200),
        (b"HEAD /nowhere HTTP/1.1\r\nHost: bus\r\n\r\n", 404),
        (b"DELETE / HTTP/1.1\r\nHost: bus\r\n\r\n", 405),
        (b"HEAD /?" + b"a" * 8170 + b" HTTP/1.1\r\nHost: bus\r\n\r\n", 200),
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\n" + b"X-A: 1\r\n" * 99 + b"\r\n", 200),
        (b"HEAD / HTTP/1.1\r\nHost: bus\r\nX-A: " + b"a" * 32_000 + b"\r\n\r\n", 200),
        (b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Length: 0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: bus\r\nContent-Length: 1\r\n\r\n{", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: bus\r\nContent-Length: 2\r\n\r\nhi", 200),
        (b"POST / HTTP/1.1\r\nHost: bus\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 400),
    ],
)
def test_the_connection_goes_on_after_a_request_that_was_read(bus: ServerProcess, data: bytes, status: int) -> None:
    with dial(bus) as peer:
        peer.send(data)
        answer = peer.answer(has_body=b"HEAD" not in data)
        assert (answer.status, _goes_on(peer)) == (status, True)


def _post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", b"Host: bus", *headers, b"", body])


REQUEST_LINES = {
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: bus\r\n\r\n", 505),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/0.9 by name": (b"GET / HTTP/0.9\r\nHost: bus\r\n\r\n", 505),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\nHost: bus\r\n\r\n", 400),
    "lower-case version": (b"GET / http/1.1\r\nHost: bus\r\n\r\n", 400),
    "RTSP": (b"GET / RTSP/1.0\r\nHost: bus\r\n\r\n", 505),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "no HTTP at all": (b"hello\r\n\r\n", 400),
    "lower-case method": (b"get / HTTP/1.1\r\nHost: bus\r\n\r\n", 501),
    "every letter of a token": (b"!#$%&'*+.^_`|~09az-AZ / HTTP/1.1\r\nHost: bus\r\n\r\n", 501),
    "method that is no token": (b"GE(T / HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "no method": (b" / HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "bare LF before it": (b"\nGET / HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "GET *": (b"GET * HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "relative target": (b"GET bus HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "CONNECT": (b"CONNECT bus:80 HTTP/1.1\r\nHost: bus\r\n\r\n", 501),
    "another scheme": (b"GET ftp://bus/ HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "address without a host": (b"GET http:///healthz HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "address with a user": (b"GET http://me@bus/ HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "address with a password": (b"GET http://me:pw@bus/ HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "address with a port beyond bounds": (b"GET http://bus:65536/ HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "two blanks": (b"GET  / HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "blank at the end": (b"GET / HTTP/1.1 \r\nHost: bus\r\n\r\n", 400),
    "control character": (b"GET /\x01 HTTP/1.1\r\nHost: bus\r\n\r\n", 400),
    "unknown method": (b"BREW / HTTP/1.1\r\nHost: bus\r\n\r\n", 501),
    "method without a use": (b"PATCH / HTTP/1.1\r\nHost: bus\r\n\r\n", 501),
    "too long": (b"GET /?" + b"a" * 8200 + b" HTTP/1.1\r\nHost: bus\r\n\r\n", 414),
    "endless": (b"GET /?" + b"a" * 100_000, 414),
}
HEADERS = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (_post(b"Host: bus"), 400),
    "bare LF at the end": (b"GET / HTTP/1.1\r\nHost: bus\n\r\n", 400),
    "bare LF everywhere": (b"GET / HTTP/1.1\nHost: bus\n\n", 400),
    "bare LF": (_post(b"X: 1\nY: 2"), 400),
    "bare CR": (_post(b"X: 1\rY: 2"), 400),
    "folded": (_post(b"X: 1\r\n 2"), 400),
    "blank before the colon": (_post(b"X : 1"), 400),
    "no colon": (_post(b"nonsense"), 400),
    "NUL": (_post(b"X: a\0b"), 400),
    "101 of them": (_post(*[b"X: 1"] * 100), 431),
    "33 kB": (_post(b"X: " + b"a" * 33_000), 431),
    "2 MB without an end": (b"GET / HTTP/1.1\r\nHost: bus\r\nX: " + b"a" * 2_000_000, 431),
    "expectation": (_post(b"Content-Length: 5", b"Expect: a-miracle"), 417),
    "expectation of a body that is there": (_post(b"Content-Length: 5", b"Expect: a-miracle", body=b"12345"), 417),
    "expectation of chunks": (_post(CHUNKED, b"Expect: a-miracle", body=b"0\r\n\r\n"), 417),
    "expectation without a body": (b"GET / HTTP/1.1\r\nHost: bus\r\nExpect: a-miracle\r\n\r\n", 417),
    "expectation among others": (_post(b"Content-Length: 5", b"Expect: 100-continue, a-miracle"), 417),
}
LENGTHS = {
    "two": (_post(b"Content-Length: 5", b"Content-Length: 5", body=b"12345"), 400),
    "list": (_post(b"Content-Length: 5, 5", body=b"12345"), 400),
    "negative": (_post(b"Content-Length: -1"), 400),
    "with a leading zero": (_post(b"Content-Length: 05", body=b"12345"), 400),
    "with thousands of digits": (_post(b"Content-Length: " + b"9" * 5000), 400),
    "with a sign": (_post(b"Content-Length: +5", body=b"12345"), 400),
    "hexadecimal": (_post(b"Content-Length: 0x5", body=b"12345"), 400),
    "with underscore": (_post(b"Content-Length: 1_0", body=b"1234567890"), 400),
    "in wide digits": (_post(b"Content-Length: \xef\xbc\x95", body=b"12345"), 400),
    "empty": (_post(b"Content-Length: "), 400),
    "astronomic": (_post(b"Content-Length: " + b"9" * 30), 400),
    "and chunks": (_post(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "over the limit": (_post(b"Content-Length: 5000000"), 413),
}
CODINGS = {
    "gzip, chunked": (_post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    "chunked twice": (_post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), 400),
    "identity": (_post(b"Transfer-Encoding: identity"), 400),
    "on HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
}
CHUNKS = {
    "no size": (_post(CHUNKED, body=b"x\r\n"), 400),
    "negative": (_post(CHUNKED, body=b"-1\r\n"), 400),
    "longer than its size": (_post(CHUNKED, body=b"1\r\nabc\r\n"), 400),
    "blank after the size": (_post(CHUNKED, body=b"1 \r\nx\r\n0\r\n\r\n"), 400),
    "extension without a name": (_post(CHUNKED, body=b"1;\r\nx\r\n0\r\n\r\n"), 400),
    "extension without a value": (_post(CHUNKED, body=b"1;a=\r\nx\r\n0\r\n\r\n"), 400),
    "extension with an open quote": (_post(CHUNKED, body=b'1;a="b\r\nx\r\n0\r\n\r\n'), 400),
    "bare LF after the size": (_post(CHUNKED, body=b"1\n"), 400),
    "bare LF for the end": (_post(CHUNKED, body=b"0\r\n\n"), 400),
    "bare LF in a trailer": (_post(CHUNKED, body=b"0\r\nX: 1\nY: 2\r\n\r\n"), 400),
    "bare CR in a trailer": (_post(CHUNKED, body=b"0\r\nX: 1\rY: 2\r\n\r\n"), 400),
    "NUL in a trailer": (_post(CHUNKED, body=b"0\r\nX: a\0b\r\n\r\n"), 400),
    "folded trailer": (_post(CHUNKED, body=b"0\r\nX: 1\r\n 2\r\n\r\n"), 400),
    "trailer without a colon": (_post(CHUNKED, body=b"0\r\nnonsense\r\n\r\n"), 400),
    "blank before the colon of a trailer": (_post(CHUNKED, body=b"0\r\nX : 1\r\n\r\n"), 400),
    "request for a trailer": (_post(CHUNKED, body=b"0\r\nGET / HTTP/1.1\r\nHost: bus\r\n\r\n"), 400),
    "long extension": (_post(CHUNKED, body=b"1;" + b"a" * 300), 400),
    "endless trailers": (_post(CHUNKED, body=b"0\r\n" + b"X: y\r\n" * 3000), 400),
    "over the limit": (_post(CHUNKED, body=b"500000\r\n" + b"x" * 4_194_305), 413),
}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(*row, id=f"{table}: {name}")
        for table, rows in {
            "request line": REQUEST_LINES, "headers": HEADERS, "length": LENGTHS, "coding": CODINGS, "chunk": CHUNKS,
        }.items()
        for name, row in rows.items()
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_the_connection_closed(bus: ServerProcess, data: bytes, status: int) -> None:
    with dial(bus) as peer:
        peer.send(data)
        answer = peer.answer()
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert answer.text.count("\n") == 1 and len(answer.text) > 20
        assert peer.rest() == b""


GOOD_HOSTS = [
    b"bus", b"bus.example.com", b"BUS", b"localhost:2021", b"127.0.0.1:2021", b"[::1]", b"[::1]:2021",
    b"[2001:db8::1]", b"[::ffff:127.0.0.1]", b"[v1.a:b]", b"bus:", b"bus:0", b"bus:65535", b"bus:00080", b"a_b",
    b"x%41", b"my-host~1!",
]  # fmt: skip
BAD_HOSTS = [
    b"", b":80", b"a b", b"me@bus", b"me:pw@bus", b"a,b", b"bus\xff", b"bus:99999x", b"bus:65536", b"bus:99999",
    b"bus:-1", b"bus:+1", b"bus:1:2", b"bus:" + b"9" * 5000, b"[::1", b"::1", b"[::1]x", b"[::1::2]",
    b"[fe80::1%25eth0]", b"[1.2.3.4]", b"[]", b"[v.x]", b"x%4", b"x%zz", b"bus\\path", b'"bus"', b"<bus>",
    b"bus:\xd9\xa3",
]  # fmt: skip
IN_HEADER = b"GET /healthz HTTP/1.1\r\nHost: %b\r\n\r\n"
IN_TARGET = b"GET http://%b/healthz HTTP/1.1\r\nHost: bus\r\n\r\n"


@pytest.mark.parametrize(
    ("form", "bad"), [(IN_HEADER, [*BAD_HOSTS, b"bus/path", b"bus?q", b"bus#f", b"http://bus"]), (IN_TARGET, BAD_HOSTS)]
)
def test_a_host_is_a_name_or_an_address(bus: ServerProcess, form: bytes, bad: list[bytes]) -> None:
    found: dict[int, list[bytes]] = {200: [], 400: []}
    for host in GOOD_HOSTS + bad:
        with dial(bus) as peer:
            peer.send(form % host)
            found[peer.answer().status].append(host)
    assert found == {200: GOOD_HOSTS, 400: bad}


def test_http_1_0_needs_no_host_and_has_no_expectations(bus: ServerProcess, subject: str) -> None:
    body = draft(subject)
    for expected in (b"100-continue", b"a-miracle"):
        with dial(bus) as peer:
            peer.send(b"POST / HTTP/1.0\r\nExpect: %b\r\nContent-Length: %d\r\n\r\n" % (expected, len(body)))
            assert not peer.has_answer(within=0.1)
            peer.send(body)
            assert peer.answer().status == 202
    with dial(bus) as peer:
        peer.send(b"GET /healthz HTTP/1.0\r\nHost: a b\r\n\r\n")
        assert peer.answer().status == 400


@pytest.mark.parametrize("coding", [b"Content-Length: %d", CHUNKED])
def test_a_client_is_told_to_go_on_only_if_it_waits(bus: ServerProcess, subject: str, coding: bytes) -> None:
    body = draft(subject)
    head = _post(coding.replace(b"%d", b"%d" % len(body)), b"Expect: 100-continue")
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if coding is CHUNKED else body
    with dial(bus) as peer:
        peer.send(head)
        assert peer.answer().status == 100
        peer.send(body)
        assert peer.answer().status == 202
        peer.send(head + body + _post(b"Content-Length: 0", b"Expect: 100-continue"))
        assert [peer.answer().status for _ in range(2)] == [202, 400]


def test_what_follows_a_refused_request_is_not_carried_out(bus: ServerProcess, subject: str) -> None:
    body = draft(subject)
    smuggled = _post(b"Content-Length: %d" % len(body), body=body)
    with dial(bus) as peer:
        peer.send(_post(b"Content-Length: 0", CHUNKED, body=smuggled))
        assert peer.answer().status == 400
        assert peer.rest() == b""
    assert read(bus, subject) == []


def test_a_refusal_reaches_a_client_that_sends_all_of_its_body_first(bus: ServerProcess) -> None:
    with dial(bus) as peer:
        peer.send(_post(b"Content-Length: 8000000", body=b"x" * 8_000_000))
        answer = peer.answer()
    assert answer.status == 413
    assert "larger than 4194304 bytes" in answer.text


def test_trailers_are_dropped(bus: ServerProcess, subject: str) -> None:
    body = draft(subject)
    with dial(bus) as peer:
        peer.send(b"POST / HTTP/1.1\r\nHost: bus\r\nTransfer-Encoding: chunked\r\n\r\n")
        peer.send(
            b"%X ; name=value\r\n%b\r\n0;last\r\nAuthorization: me\r\nContent-Length: 7\r\n\r\n" % (len(body), body)
        )
        assert peer.answer().status == 202
        assert _goes_on(peer)


@pytest.mark.parametrize("pieces", [1, 3])
def test_a_chunked_request_may_be_cut_anywhere(bus: ServerProcess, subject: str, pieces: int) -> None:
    body = draft(subject)
    chunked = b"".join(b"%x;e\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:]))
    data = _post(CHUNKED, body=chunked + b"0\r\nT: 1\r\n\r\n")
    with dial(bus) as peer:
        for at in range(1, len(data) - pieces):
            peer.send(data[:at], data[at : at + pieces], data[at + pieces :])
            assert peer.answer().status == 202, at


def test_a_server_that_was_sent_garbage_still_serves(bus: ServerProcess, subject: str) -> None:
    with connect(bus.port) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)))
    assert publish(bus, subject).status == 202
