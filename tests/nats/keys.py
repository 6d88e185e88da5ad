"""Keys of operators, accounts and users of NATS, and the tokens that they sign, as ``nsc`` makes them."""

from __future__ import annotations

import json
from base64 import b32encode, urlsafe_b64encode
from binascii import crc_hqx

from nacl.signing import SigningKey

OPERATOR, ACCOUNT, USER = (ord(letter) - ord("A") << 3 for letter in "OAU")
SEED = ord("S") - ord("A") << 3


def encode(raw: bytes) -> str:
    return b32encode(raw + crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


class Key:
    """A key of any role, as ``nsc`` makes it."""

    def __init__(self, role: int) -> None:
        self._key = SigningKey.generate()
        self.public = encode(bytes([role]) + bytes(self._key.verify_key))
        self.seed = encode(bytes([SEED | role >> 5, (role & 31) << 3]) + bytes(self._key))

    def token(self, subject: str, kind: str, **claims: object) -> str:
        """A JSON web token for *subject* that this key issues."""
        fields = {"jti": "1", "iat": 0, "iss": self.public, "sub": subject}
        body = fields | {"nats": {"type": kind, "version": 2} | claims}
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (head, body))
        return f"{signed}.{_base64(self._key.sign(signed.encode()).signature)}"


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")
