"""The files of certificates: which are refused at start, how they are renewed, and whose clients' are."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from bus.errors import ConfigError
from bus.server.http.client_certificate import certificate_name
from bus.server.http.tls_transport import TlsTransport
from bus.server.tls import CertificateFiles, Certificates, find_flaw
from tests.authority import Authority, Identity
from tests.conftest import StartServer
from tests.server.bare_tls import read_to_end
from tests.support import ServerProcess, connect, run_bus, subscribe

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: bus\r\nConnection: close\r\n\r\n"


@pytest.fixture
def own(tmp_path: Path) -> Authority:
    """An authority whose files a test may spoil."""
    directory = tmp_path / "own"
    directory.mkdir()
    return Authority(directory)


# -- at start


def _refusal(*flags: str | Path) -> str:
    ended = run_bus("server", "--namespaces", "app", "--path", "/nonexistent/data", *flags)
    assert ended.returncode == 2, ended
    (line,) = ended.stderr.decode().splitlines()
    return line.removeprefix("bus: ")


def test_files_that_are_missing_are_named(own: Authority, tmp_path: Path) -> None:
    nowhere, identity = tmp_path / "nowhere.pem", own.server
    gone = f"{nowhere} can't be read: No such file or directory"
    assert _refusal("--tls-cert", nowhere) == gone
    assert _refusal("--tls-cert", identity.certificate, "--tls-key", nowhere) == gone
    assert _refusal(*identity.flags, "--tls-client-ca", nowhere) == gone
    assert _refusal("--tls-cert", tmp_path) == f"{tmp_path} can't be read: Is a directory"


def test_half_of_the_settings_is_refused(own: Authority) -> None:
    identity = own.server
    for flag in ("--tls-key", "--tls-client-ca"):
        refusal = _refusal(flag, identity.key)
        assert refusal == f"{flag} is given without a certificate: give --tls-cert, too"
    assert _refusal("--tls-cert", identity.certificate) == (
        f"{identity.certificate} holds no private key: name a PEM file with it by --tls-key"
    )


def test_files_that_hold_something_else_are_refused(own: Authority, tmp_path: Path) -> None:
    identity = own.server
    other, broken = tmp_path / "other.pem", tmp_path / "broken.pem"
    other.write_bytes(bytes(range(256)))
    broken.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    assert _refusal("--tls-cert", other, "--tls-key", identity.key) == (
        f"{other} holds no certificate: give a PEM file of the certificate and its chain"
    )
    assert "holds no private key" in _refusal("--tls-cert", identity.certificate, "--tls-key", other)
    assert "can't be used: " in _refusal("--tls-cert", broken, "--tls-key", identity.key)
    assert "holds no certificates of authorities: " in _refusal(*identity.flags, "--tls-client-ca", other)
    assert "holds no certificates of authorities: " in _refusal(*identity.flags, "--tls-client-ca", broken)


def test_the_key_of_another_certificate_is_refused(own: Authority) -> None:
    one, other = own.server, own.issue("other", "localhost")
    assert _refusal("--tls-cert", one.certificate, "--tls-key", other.key) == (
        f"the key in {other.key} isn't that of the certificate in {one.certificate}"
    )


def test_an_encrypted_key_is_refused_and_nobody_is_asked(own: Authority, tmp_path: Path) -> None:
    encrypted = tmp_path / "encrypted.key"
    subprocess.run(
        ["openssl", "pkey", "-in", own.server.key, "-aes256", "-passout", "pass:secret", "-out", encrypted], check=True
    )
    assert _refusal("--tls-cert", own.server.certificate, "--tls-key", encrypted) == (
        f"the key in {encrypted} is encrypted: store it in clear, readable for the server's user alone"
    )


def test_one_file_may_hold_both(start_server: StartServer, authority: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(authority.server.key.read_bytes() + authority.server.certificate.read_bytes())
    server = start_server(flags=["--tls-cert", str(both)])
    with connect(server.port, tls=authority.client_context()) as connection:
        connection.sendall(HEALTH)
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def test_an_expired_certificate_is_served_with_a_warning(start_server: StartServer, own: Authority) -> None:
    """Clients refuse it one by one; a server that doesn't start is no help to those who don't look."""
    expired = own.issue("expired", "127.0.0.1", until=datetime.now(UTC) - timedelta(days=1))
    server = start_server(flags=expired.flags)
    server.wait_for_log(f"clients will refuse the certificate in {expired.certificate}: certificate has expired")
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"), connect(server.port, tls=own.client_context()):
        pass


def test_a_good_certificate_has_no_flaw(own: Authority) -> None:
    assert find_flaw(_files(own.server)) is None


# -- renewed


def _files(identity: Identity, *, client_ca: Path | None = None) -> CertificateFiles:
    return CertificateFiles(certificate=identity.certificate, key=identity.key, client_ca=client_ca)


def _serial(server: ServerProcess, authority: Authority) -> object:
    """The serial number of the certificate that a new connection is shown."""
    with connect(server.port, tls=authority.client_context()) as connection:
        assert isinstance(connection, ssl.SSLSocket)
        certificate = connection.getpeercert()
        assert certificate
        return certificate["serialNumber"]


def test_certificates_are_renewed_while_streams_are_open(start_server: StartServer, own: Authority) -> None:
    server = start_server(authority=own)
    before = _serial(server, own)
    with subscribe(server, "app.>") as stream:
        own.issue("server", "localhost", "127.0.0.1")
        server.wait_for_log("new connections get the certificate of")
        assert _serial(server, own) != before
        run_bus("put", "--subject", "app.a", "--data", "1", "--host", server.url, env={"SSL_CERT_FILE": str(own.path)})
        assert b'"payload":1' in stream.take(1)[0].data


def test_a_bad_file_leaves_the_old_certificate_in_force(start_server: StartServer, own: Authority) -> None:
    server = start_server(authority=own)
    before = _serial(server, own)
    own.server.certificate.write_text("nonsense")
    line = server.wait_for_log("the old certificate stays in force: ")
    assert f"ERROR bus.server.tls the old certificate stays in force: {own.server.certificate} holds no" in line
    assert _serial(server, own) == before
    own.issue("server", "localhost", "127.0.0.1")
    server.wait_for_log("new connections get the certificate of")
    assert _serial(server, own) != before


def test_sighup_renews_what_does_not_look_changed(start_server: StartServer, own: Authority) -> None:
    server = start_server(authority=own)
    server.signal(signal.SIGHUP)
    server.wait_for_log("new connections get the certificate of")
    assert _serial(server, own)


def test_a_bad_file_is_told_of_once(own: Authority, caplog: pytest.LogCaptureFixture) -> None:
    certificates = Certificates(_files(own.server))
    before = certificates.context
    own.server.key.unlink()
    for _ in range(3):
        certificates.watch()
    assert [record.getMessage() for record in caplog.records] == [
        f"the old certificate stays in force: {own.server.key} can't be read: No such file or directory"
    ]
    assert certificates.context is before


def test_files_that_stay_as_they_are_are_not_read_again(own: Authority) -> None:
    certificates = Certificates(_files(own.server))
    before = certificates.context
    certificates.watch()
    assert certificates.context is before


def test_making_them_of_bad_files_raises(own: Authority) -> None:
    own.server.certificate.write_text("nonsense")
    with pytest.raises(ConfigError, match="holds no certificate"):
        Certificates(_files(own.server))


# -- of clients


def test_clients_need_a_certificate_if_the_server_says_so(start_server: StartServer, own: Authority) -> None:
    server = start_server(authority=own, flags=["--tls-client-ca", str(own.path)])
    with connect(server.port, tls=own.client_context(own.issue("client", "billing"))) as connection:
        connection.sendall(HEALTH)
        assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_without_or_with_another_certificate_are_told_so(
    start_server: StartServer, own: Authority, authority: Authority, version: ssl.TLSVersion
) -> None:
    server = start_server(authority=own, flags=["--tls-client-ca", str(own.path)])
    stranger = authority.issue("stranger", "billing")
    expired = own.issue("late", "billing", until=datetime.now(UTC) - timedelta(days=1))
    for identity, reason in (
        (None, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"),
        (stranger, "UNKNOWN_CA"),
        (expired, "EXPIRED"),
    ):
        context = own.client_context(identity)
        context.minimum_version = context.maximum_version = version
        with pytest.raises(ssl.SSLError, match=reason), connect(server.port, tls=context) as connection:
            connection.sendall(HEALTH)
            read_to_end(connection)


class _Noting(asyncio.Protocol):
    """Notes what it was told by when something has come."""

    def __init__(self, noted: asyncio.Future[str | None]) -> None:
        self._noted = noted
        self._name: str | None = None

    def certify(self, name: str) -> None:
        self._name = name

    def data_received(self, data: bytes) -> None:
        self._noted.set_result(self._name)


async def _name(authority: Authority, identity: Identity | None, *, client_ca: Path | None) -> str | None:
    """What a server takes for the name of a client that shows *identity*."""
    loop = asyncio.get_running_loop()
    context, noted = _files(authority.server, client_ca=client_ca).load(), loop.create_future()
    noting = _Noting(noted)
    make = partial(TlsTransport, context, noting, certify=noting.certify)
    server = await loop.create_server(make, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=authority.client_context(identity))
    writer.write(b"x")
    name: str | None = await noted
    writer.transport.abort()
    server.close()
    return name


def test_a_client_has_the_name_in_its_certificate(own: Authority) -> None:
    for names, common_name, expected in (
        (["first.example", "second.example"], "billing", "first.example"),
        (["me@mail.example", "10.1.1.1", "dns.example"], None, "dns.example"),
        (["10.1.1.1", "me@mail.example"], "billing", "me@mail.example"),
        (["10.1.1.1"], "billing", "billing"),
    ):
        identity = own.issue("client", *names, common_name=common_name)
        assert asyncio.run(_name(own, identity, client_ca=own.path)) == expected


class _Shown(asyncio.Transport):
    """A transport of somebody who has shown *certificate*."""

    def __init__(self, certificate: dict[str, object]) -> None:
        super().__init__({"peercert": certificate})


def test_a_workload_has_the_address_in_its_certificate() -> None:
    names = (("email", "me@mail.example"), ("URI", "spiffe://example.org/billing"), ("URI", "spiffe://other"))
    subject = ((("organizationName", "us"),), (("commonName", "outer"),), (("commonName", "inner"),))
    assert certificate_name(_Shown({"subject": subject, "subjectAltName": names})) == "spiffe://example.org/billing"
    assert certificate_name(_Shown({"subject": subject})) == "inner"
    assert certificate_name(_Shown({"subject": subject[:1]})) is None


def test_a_client_that_nobody_verified_has_no_name(own: Authority) -> None:
    assert asyncio.run(_name(own, own.issue("client", "billing"), client_ca=None)) is None
