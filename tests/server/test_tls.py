"""TLS from outside: handshakes that fail or never end, refusals, ends of connections, and who is let in."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bus.wire import NDJSON, SSE
from tests.authority import Authority
from tests.conftest import StartServer
from tests.server.bare_tls import BareTls, connect_in_the_clear, read_to_end
from tests.server.support import dial, draft, metric, publish, read, refusal, stored, target, with_limits
from tests.support import PATIENCE, ServerProcess, connect, raw, request, subscribe

POST = b"POST / HTTP/1.1\r\nHost: bus\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[ServerProcess]:
    """A server with TLS, shared by tests that leave no trace in each other."""
    path = tmp_path_factory.mktemp("secure") / "data"
    server = ServerProcess(path, authority=authority, env={"BUS_LOG_LEVEL": "DEBUG"})
    yield server
    server.close()


def _curl(server: ServerProcess, authority: Authority, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ["curl", "--silent", "--show-error", "--cacert", str(authority.path), *arguments]
    return subprocess.run(command, capture_output=True, timeout=PATIENCE)


# -- handshakes


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_are_spoken(secure: ServerProcess, authority: Authority, version: ssl.TLSVersion) -> None:
    context = authority.client_context()
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(secure.port, tls=context) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        assert connection.selected_alpn_protocol() == "http/1.1"
        connection.sendall(HEALTH)
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_older_versions_are_refused(secure: ServerProcess, authority: Authority) -> None:
    context = authority.client_context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"protocol version|PROTOCOL_VERSION"), connect(secure.port, tls=context):
        pass


def test_curl_speaks_it(secure: ServerProcess, authority: Authority) -> None:
    published = _curl(secure, authority, "-d", '{"subject": "app.curl", "payload": 1}', f"{secure.url}/")
    assert (published.returncode, published.stderr) == (0, b"")
    assert [event["payload"] for event in read(secure, "app.curl")] == [1]


@pytest.mark.parametrize("piece", [1, 5, 100, 200])
def test_a_handshake_may_come_in_pieces(secure: ServerProcess, authority: Authority, piece: int) -> None:
    with connect_in_the_clear(secure.port) as connection:
        tls = BareTls(connection, authority.client_context(), piece=piece)
        tls.send(HEALTH)
        assert tls.rest().startswith(b"HTTP/1.1 200 ")


def test_plain_http_is_told_to_ask_for_https(secure: ServerProcess) -> None:
    with connect_in_the_clear(secure.port) as connection:
        connection.sendall(HEALTH)
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\nthis port takes HTTPS: ask for https:// instead\n")
    assert "HTTP_REQUEST" in secure.wait_for_log("HTTP_REQUEST")


@pytest.mark.parametrize("data", [b"\x00" * 100, b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_what_is_no_tls_is_hung_up_on(secure: ServerProcess, data: bytes) -> None:
    with connect_in_the_clear(secure.port) as connection:
        connection.sendall(data)
        assert not read_to_end(connection).startswith(b"HTTP/1.1 200")
    assert request(secure, "GET", "/healthz").status == 200
    assert "Traceback" not in secure.log


def test_a_client_that_distrusts_the_certificate_is_no_trouble(secure: ServerProcess) -> None:
    stranger = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError), connect(secure.port, tls=stranger):
        pass
    assert "DEBUG bus.server.tls" in secure.wait_for_log("UNKNOWN_CA")
    assert "Traceback" not in secure.log


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00"])
def test_a_handshake_that_never_ends_is_cut_off(start_server: StartServer, authority: Authority, sent: bytes) -> None:
    server = start_server(authority=authority, wrapper=with_limits(HEAD_SECONDS=0.3, SWEEP_SECONDS=0.1))
    with connect_in_the_clear(server.port) as connection:
        connection.sendall(sent)
        assert read_to_end(connection) == b""


def test_half_a_handshake_is_no_request(secure: ServerProcess) -> None:
    with connect_in_the_clear(secure.port) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00")
        connection.shutdown(socket.SHUT_WR)
        assert read_to_end(connection) == b""


def test_connections_count_before_their_handshake(start_server: StartServer, authority: Authority) -> None:
    server = start_server(authority=authority, flags=["--max-connections", "2"])
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connect_in_the_clear(server.port))
        assert refusal(publish(server, "app.a"))[0] == 503
        assert request(server, "GET", "/readyz").status == 200
    assert publish(server, "app.a").status == 202


def test_a_record_that_was_tampered_with_ends_the_connection(secure: ServerProcess, authority: Authority) -> None:
    with connect_in_the_clear(secure.port) as connection:
        record = bytearray(BareTls(connection, authority.client_context()).encrypt(HEALTH))
        record[-1] ^= 1
        connection.sendall(record)
        read_to_end(connection)
    assert "DEBUG bus.server.tls" in secure.wait_for_log("BAD_RECORD_MAC")
    assert "Traceback" not in secure.log


# -- the end


def test_a_client_that_is_done_sending_gets_its_answers(secure: ServerProcess, authority: Authority) -> None:
    """TLS 1.3 ends one direction at a time (RFC 8446, section 6.1)."""
    body = draft("app.halves")
    with connect_in_the_clear(secure.port) as connection:
        tls = BareTls(connection, authority.client_context())
        tls.send((POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)) * 3)
        tls.say_goodbye()
        assert tls.rest().count(b"HTTP/1.1 202 ") == 3


def test_a_client_that_hangs_up_without_goodbye_gets_its_answers(secure: ServerProcess, authority: Authority) -> None:
    """Many do; what HTTP says of lengths shows whether something was cut off."""
    body = draft("app.halves")
    with connect_in_the_clear(secure.port) as connection:
        tls = BareTls(connection, authority.client_context())
        tls.send(POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        connection.shutdown(socket.SHUT_WR)
        assert tls.rest().startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (POST + b"Content-Length: 10000000\r\n\r\n", 413),
        (POST + b"X: " + b"y" * 40_000, 431),
        (b"GET /" + b"y" * 10_000, 414),
        (b"nonsense\r\n\r\n", 400),
    ],
)
def test_a_refusal_arrives_although_the_client_goes_on_sending(secure: ServerProcess, head: bytes, status: int) -> None:
    with dial(secure) as peer:
        peer.send(head, *[b"x" * 65_536] * 20)
        answer = peer.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert peer.rest() == b""


def test_a_refused_client_that_never_stops_sending_is_cut_off(start_server: StartServer, authority: Authority) -> None:
    server = start_server(authority=authority, wrapper=with_limits(LINGER_SECONDS=0.3))
    with dial(server) as peer:
        peer.send(b"nonsense\r\n\r\n")
        assert peer.answer().status == 400
        with pytest.raises(OSError, match=r"reset|pipe|EOF occurred"):
            while True:
                peer.send(b"x" * 65536)


@pytest.mark.parametrize("accept", [SSE, NDJSON])
@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_fails_when_a_stream_breaks_off(
    start_server: StartServer, authority: Authority, accept: str, end: str, version: str
) -> None:
    server = start_server(authority=authority)
    stored(server, "app.a")
    url = server.url + target("app.a", start="oldest")
    command = ["curl", "-sSN", "--cacert", str(authority.path), version, "-H", f"Accept: {accept}", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as curl:
        assert curl.stdout
        while b'"subject":"app.a"' not in curl.stdout.readline():
            pass
        getattr(server, end)()
        assert curl.wait(PATIENCE) != 0


@pytest.mark.parametrize("version", ["--http1.1", "--http1.0"])
def test_curl_takes_a_complete_stream_for_complete(secure: ServerProcess, authority: Authority, version: str) -> None:
    stored(secure, "app.complete")
    url = secure.url + target("app.complete", start="oldest", follow="false")
    read = _curl(secure, authority, version, url)
    assert (read.returncode, read.stderr) == (0, b"")
    assert b"event: done\n" in read.stdout


def test_a_server_stops_although_nobody_answers_its_goodbye(start_server: StartServer, authority: Authority) -> None:
    server = start_server(authority=authority)
    with connect(server.port), subscribe(server, "app.>"), dial(server) as peer, connect_in_the_clear(server.port):
        peer.send(HEALTH.replace(b"Connection: close\r\n", b""))
        assert peer.answer().status == 200
        assert server.stop() == 0
    assert "still open" not in server.log


# -- flow


def test_a_slow_reader_holds_up_nobody_and_misses_nothing(start_server: StartServer, authority: Authority) -> None:
    server = start_server(authority=authority, flags=["--fsync", "never"])
    payload = "x" * 10_000
    with subscribe(server, "app.>") as slow:
        for _ in range(20):
            lines = b"".join(draft("app.a", payload) + b"\n" for _ in range(100))
            assert request(server, "POST", "/", lines, Content_Type=NDJSON).status == 202
        with subscribe(server, "app.>", start="oldest", limit=2000) as fast:
            assert len(fast.take(2000)) == 2000
        assert len(slow.take(2000)) == 2000


def test_a_body_of_many_records_arrives_whole(secure: ServerProcess) -> None:
    payload = "x" * 3_000_000
    assert publish(secure, "app.large", payload).status == 202
    assert [event["payload"] for event in read(secure, "app.large")] == [payload]


def test_connections_are_given_back(secure: ServerProcess) -> None:
    before = metric(secure, "bus_connections")
    for _ in range(20):
        raw(secure.port, HEALTH)
        with connect_in_the_clear(secure.port):
            pass
    while metric(secure, "bus_connections") > before:
        pass


def test_the_log_is_quiet_about_handshakes_that_fail(start_server: StartServer, authority: Authority) -> None:
    server = start_server(authority=authority)
    with connect_in_the_clear(server.port) as connection:
        connection.sendall(HEALTH)
        read_to_end(connection)
    with pytest.raises(ssl.SSLCertVerificationError), connect(server.port, tls=ssl.create_default_context()):
        pass
    assert request(server, "GET", "/healthz").status == 200
    assert len(server.log.splitlines()) == 1


def test_the_log_tells_the_scheme(secure: ServerProcess) -> None:
    assert f"listening on https://127.0.0.1:{secure.port} " in secure.log
