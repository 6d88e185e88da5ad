"""The address of a server as it was given, how to be trusted there, and clients of the server there."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bus.errors import ConnectionFailedError, InvalidParameterError

if TYPE_CHECKING:
    from ssl import SSLContext

    from bus.client import Client
    from bus.client.core.credentials import Token
    from bus.client.core.request import Endpoint, Requests

ANSWER_SECONDS = 5.0
"""How long a command waits for the answer to something short."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for TLS: the authorities that are trusted, the certificate to show, and its key if that is apart.

    What is None is what the variables ``BUS_CA_FILE`` … say, else nothing.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def or_else(self, other: TlsFiles) -> TlsFiles:
        """These, and of *other* what isn't among them; a certificate and its key belong together."""
        shown = self if self.certificate else other
        return TlsFiles(self.ca or other.ca, shown.certificate, shown.key)

    def context(self, endpoint: Endpoint) -> SSLContext | None:
        """What connections to *endpoint* are encrypted by, None if they aren't.

        Raises `InvalidParameterError` for files that can't be used.
        """
        from bus.client.core.tls import make_tls

        cert = (self.certificate, self.key) if self.certificate and self.key else self.certificate
        return make_tls(endpoint, ca=self.ca, cert=cert)

    def __bool__(self) -> bool:
        return bool(self.ca or self.certificate)


NO_FILES = TlsFiles()
"""Nothing but what the environment says."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is, the *token* it knows the caller by, and the files for TLS; as text, it holds no password."""

    url: str = field(repr=False)
    token: Token = field(default="", repr=False)
    tls: TlsFiles = NO_FILES

    @property
    def endpoint(self) -> Endpoint:
        """What the URL says. Raises `InvalidParameterError`, also for a name that no host can have."""
        from bus.client.core.request import Endpoint

        endpoint = Endpoint.parse(self.url)
        try:
            str(endpoint)
        except UnicodeError:
            raise InvalidParameterError(
                f"server {endpoint.host[:80]!a} can't be read: its name has an empty or long part"
            ) from None
        return endpoint

    def requests(self) -> Requests:
        """What writes requests to it."""
        from bus.client.core.credentials import Credentials
        from bus.client.core.request import Requests

        endpoint = self.endpoint
        return Requests(endpoint, Credentials(userinfo=endpoint.userinfo, token=self.token))

    def open_client(self, *, timeout: float) -> Client:
        """A client of it whose calls take *timeout* seconds at most.

        Raises `ConnectionFailedError` when nobody listens there. The client by itself would try until its time is up,
        which suits a service that starts together with its server; a person wants to know at once.
        """
        from bus.client import Client

        endpoint = self.endpoint
        tls = self.tls.context(endpoint)
        try:
            socket.create_connection((endpoint.host, endpoint.port), timeout).close()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConnectionFailedError(f"can't reach {endpoint}: {reason}; is the server running there?") from None
        return Client(self.url, token=self.token, timeout=timeout, tls=tls)

    def __str__(self) -> str:
        return str(self.endpoint)
