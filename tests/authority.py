"""Certificates for tests: an authority of their own, what it issues, and how its servers are spoken to."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path

    @property
    def flags(self) -> list[str]:
        """What a server is told that shows it."""
        return ["--tls-cert", str(self.certificate), "--tls-key", str(self.key)]


class Authority:
    """An authority that keeps its files in *directory*."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "authority.pem"
        self._directory = directory
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(self.path)

    def issue(self, name: str, *hosts: str, common_name: str | None = None, until: datetime | None = None) -> Identity:
        """A certificate for *hosts*, in files that begin with *name* and are replaced if they are there."""
        issued = self._authority.issue_cert(*hosts, common_name=common_name, not_after=until)
        identity = Identity(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        identity.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(identity.key)
        return identity

    @cached_property
    def server(self) -> Identity:
        """The certificate of this machine."""
        return self.issue("server", "localhost", "127.0.0.1")

    def client_context(self, identity: Identity | None = None) -> ssl.SSLContext:
        """What a client speaks by that trusts the authority and shows *identity*."""
        context = ssl.create_default_context(cafile=self.path)
        if identity:
            context.load_cert_chain(identity.certificate, identity.key)
        return context
