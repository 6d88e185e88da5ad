"""How a client shows who it is: user and password, a token, or a key that signs what the server asks.

An nkey is Base32 of a prefix, a key and a checksum (CRC-16/XMODEM, little-endian, over what precedes it):

     public key   | prefix 1 | Ed25519 public key 32 | checksum 2 |     a user's begins with U
     seed         | prefix 2 | Ed25519 seed 32       | checksum 2 |     a user's begins with SU

Source: https://github.com/nats-io/nkeys, `README` and `strkey.go`. A ``.creds`` file holds a JSON web token and the
seed of the key it was issued for, each between lines of dashes.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode, urlsafe_b64encode
from binascii import Error, crc_hqx
from dataclasses import dataclass, field
from pathlib import Path

from nacl.signing import SigningKey

from bus.nats.address import Location
from bus.nats.errors import SettingsError

_SEED_OF_USER = bytes([18 << 3 | 20 << 3 >> 5, (20 << 3 & 31) << 3])
_PUBLIC_USER = bytes([20 << 3])
_SECTION = re.compile(r"-{3,}BEGIN ([^-]+)-{3,}\s+(\S+)\s+-{3,}END")


class UserKey:
    """The key of a user, from its seed."""

    __slots__ = ("_key",)

    def __init__(self, seed: str) -> None:
        """Raises `SettingsError` if *seed* isn't the seed of a user."""
        try:
            raw = b32decode(seed + "=" * (-len(seed) % 8))
        except (Error, ValueError):
            raw = b""
        if len(raw) != 36 or raw[:2] != _SEED_OF_USER or crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
            raise SettingsError("not the seed of a NATS user: it has 58 characters and begins with SU")
        self._key = SigningKey(raw[2:34])

    @property
    def public(self) -> str:
        """The public key, as servers are configured with it."""
        raw = _PUBLIC_USER + bytes(self._key.verify_key)
        return b32encode(raw + crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")

    def sign(self, nonce: str) -> str:
        """The signature that proves to have the seed."""
        return urlsafe_b64encode(self._key.sign(nonce.encode()).signature).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is shown to a server; empty to one that asks for nothing."""

    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    jwt: str = field(default="", repr=False)
    key: UserKey | None = None

    @classmethod
    def of(cls, location: Location) -> Credentials:
        """Those that stand in a URL."""
        return cls(location.user, location.password, location.token)

    @classmethod
    def read(cls, path: Path) -> Credentials:
        """Those of a ``.creds`` file, or of a file with nothing but a seed. Raises `SettingsError`."""
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"can't read credentials: {path}: {error}") from None
        sections = {name.strip(): content for name, content in _SECTION.findall(text)}
        seed = sections.get("USER NKEY SEED", text.strip())
        try:
            return cls(jwt=sections.get("NATS USER JWT", ""), key=UserKey(seed))
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from None

    def answer(self, nonce: str) -> dict[str, str]:
        """The fields of CONNECT that show them."""
        fields = {"user": self.user, "pass": self.password, "auth_token": self.token, "jwt": self.jwt}
        if self.key:
            fields["sig"] = self.key.sign(nonce)
            fields["nkey"] = "" if self.jwt else self.key.public
        return {name: value for name, value in fields.items() if value}
