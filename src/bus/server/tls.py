"""The certificates of a server: read from files, shown in handshakes, renewed while connections are open.

    files ──▶ CertificateFiles.load ──▶ Certificates.context ──▶ the next handshake
                        ▲                       │
                        └── changed, SIGHUP ◀───┘

A connection keeps the certificate that its handshake was done with. Files that can't be used leave the old ones in
force, so a certificate and its key may be replaced one after the other.
"""

from __future__ import annotations

import logging
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bus.config import ServerSettings
from bus.errors import ConfigError
from bus.server.watched_files import WatchedFiles

log = logging.getLogger("bus.server.tls")


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where a server's certificate is, its private key, and the authorities that clients' certificates are of.

    ``client_ca`` None means that clients need none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, settings: ServerSettings) -> CertificateFiles | None:
        """Those that *settings* name, None without TLS. Raises `ConfigError` for others without a certificate."""
        if settings.tls_cert:
            key = settings.tls_key or settings.tls_cert
            return cls(certificate=settings.tls_cert, key=key, client_ca=settings.tls_client_ca)
        for flag, given in (("--tls-key", settings.tls_key), ("--tls-client-ca", settings.tls_client_ca)):
            if given:
                raise ConfigError(f"{flag} is given without a certificate: give --tls-cert, too")
        return None

    def load(self) -> ssl.SSLContext:
        """What handshakes are done by. Raises `ConfigError` naming the file that can't be used."""
        self._check_texts()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        self._load_certificate(context)
        if self.client_ca:
            self._require_certificates(context, self.client_ca)
        return context

    def _check_texts(self) -> None:
        """What OpenSSL doesn't tell: which of the files is missing something."""
        if "-----BEGIN CERTIFICATE-----" not in _read(self.certificate):
            raise ConfigError(
                f"{self.certificate} holds no certificate: give a PEM file of the certificate and its chain"
            )
        if "PRIVATE KEY-----" not in _read(self.key):
            raise ConfigError(f"{self.key} holds no private key: name a PEM file with it by --tls-key")

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._refuse_password)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ConfigError(
                    f"the key in {self.key} isn't that of the certificate in {self.certificate}"
                ) from None
            raise ConfigError(
                f"{self.certificate} with the key in {self.key} can't be used: {_reason(error)}"
            ) from None
        except OSError as error:
            raise ConfigError(f"{self.certificate} can't be read: {error.strerror}") from None

    def _refuse_password(self) -> str:
        raise ConfigError(
            f"the key in {self.key} is encrypted: store it in clear, readable for the server's user alone"
        )

    def _require_certificates(self, context: ssl.SSLContext, authorities: Path) -> None:
        try:
            _read(authorities)
            context.load_verify_locations(authorities)
        except ssl.SSLError as error:
            raise ConfigError(f"{authorities} holds no certificates of authorities: {_reason(error)}") from None
        context.verify_mode = ssl.CERT_REQUIRED

    def watched(self) -> WatchedFiles:
        """All of them, to see whether any has changed."""
        return WatchedFiles(*[path for path in (self.certificate, self.key, self.client_ca) if path])


class Certificates:
    """What a server's handshakes are done by. Making it raises `ConfigError` if its *files* can't be used.

    ``context`` is for the next handshake.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._watched = files.watched()
        self.context = files.load()
        self._warn()

    @classmethod
    def of(cls, settings: ServerSettings) -> Certificates | None:
        """Those that *settings* name, None without TLS. Raises `ConfigError` if they can't be used."""
        files = CertificateFiles.of(settings)
        return cls(files) if files else None

    def watch(self) -> None:
        """Renew what handshakes are done by if a file has changed."""
        if self._watched.have_changed():
            self.renew()

    def renew(self) -> None:
        """Read the files again; what can't be used leaves the old in force, and is told to the log."""
        self._watched.have_changed()  # this state of them counts as seen
        try:
            self.context = self._files.load()
        except ConfigError as error:
            log.error("the old certificate stays in force: %s", error)
        else:
            log.info("new connections get the certificate of %s as it is now", self._files.certificate)
            self._warn()

    def _warn(self) -> None:
        if flaw := find_flaw(self._files):
            log.warning("clients will refuse the certificate in %s: %s", self._files.certificate, flaw)

    def __repr__(self) -> str:
        return f"<Certificates of {self._files.certificate}>"


def find_flaw(files: CertificateFiles) -> str | None:
    """Why clients that trust the certificate's issuer refuse it all the same, such as that it has expired.

    A client that trusts the very certificate is made to shake hands with a server, both in memory.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(files.certificate, files.key)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(files.certificate)
    try:
        _shake_hands(server, client)
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    return None


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Go on until the client has judged the server's certificate. Raises `ssl.SSLCertVerificationError`."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asker, shower = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    for end in (asker, shower, asker):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror}") from None


def _reason(error: ssl.SSLError) -> str:
    """What OpenSSL found, in its own words."""
    return (error.reason or str(error)).replace("_", " ").lower()
