"""``[jwt]`` of the token file: whose JSON web tokens are taken, which keys they are signed with, and what they say.

[jwt]
issuer     = "https://id.example.com/realms/shop"
audience   = "bus"
jwks       = "https://id.example.com/realms/shop/protocol/openid-connect/certs"     or a file
algorithms = ["EdDSA", "ES256", "RS256"]
claim      = "bus"                            holds the rights, as a table of the file does
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bus.errors import ConfigError

ALGORITHMS = ("EdDSA", "ES256", "RS256")
"""Signatures by a key that only the issuer has, so that whoever can check them can't make them (RFC 7518, RFC 8037)."""


class JwtTable(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The table as the file has it; *jwks* is the address or the file of the issuer's keys."""

    issuer: str
    audience: str
    jwks: str
    algorithms: tuple[str, ...] = ALGORITHMS
    claim: str = "bus"

    def check(self) -> None:
        """Raise `ConfigError` naming the key with what can't be."""
        for key in ("issuer", "audience", "jwks", "algorithms", "claim"):
            if not getattr(self, key):
                raise ConfigError(f"{key} is empty")
        for name in self.algorithms:
            if name not in ALGORITHMS:
                raise ConfigError(f"algorithms: {name[:80]!a} is not taken: known are {', '.join(ALGORITHMS)}")
        if self.address:
            _check_address(self.address)

    @property
    def address(self) -> str:
        """Where the keys are to be had over the network, empty if they are in a file."""
        return self.jwks if self.jwks.startswith(("https://", "http://")) else ""

    def file(self, token_file: Path) -> Path:
        """The file of the keys; a name that isn't absolute is one beside *token_file*."""
        return token_file.parent / self.jwks


def _check_address(address: str) -> None:
    try:
        parts = urlsplit(address)
        host, has_password = parts.hostname, "@" in parts.netloc
    except ValueError:
        host, has_password = None, False
    if not host:
        raise ConfigError("jwks names no host: give an address like https://id.example.com/jwks.json, or a file")
    if has_password:
        raise ConfigError("jwks has a user in it, which logs would show: give an address that everybody may read")
