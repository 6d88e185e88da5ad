"""An issuer of JSON web tokens for tests: its keys, the key set it publishes, and what it signs."""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_elliptic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as new_rsa
from jwt import PyJWS, get_algorithm_by_name

NAME = "https://id.example.com/realms/shop"
AUDIENCE = "bus"

Jwk = dict[str, object]


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key for one algorithm, which the issuer calls *kid*."""

    kid: str
    algorithm: str
    private: Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey = field(repr=False)

    @property
    def jwk(self) -> Jwk:
        """The public key as a key set has it."""
        text = get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key())
        return {**json.loads(text), "kid": self.kid, "use": "sig"}

    def sign(self, claims: Mapping[str, object] | bytes, **header: object) -> str:
        """A JWT with these *claims*; whatever else its *header* says, where None means that it doesn't say it."""
        content = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
        said = {name: value for name, value in ({"kid": self.kid} | header).items() if value is not None}
        return PyJWS().encode(content, self.private, self.algorithm, said)


@cache
def signing_key(kid: str, algorithm: str = "EdDSA", *, bits: int = 2048) -> SigningKey:
    """The key of this name and kind, the same for all tests of a process."""
    if algorithm == "EdDSA":
        return SigningKey(kid, algorithm, Ed25519PrivateKey.generate())
    if algorithm == "ES256":
        return SigningKey(kid, algorithm, new_elliptic(SECP256R1()))
    return SigningKey(kid, algorithm, new_rsa(65537, bits))


def key_set(*keys: SigningKey | Jwk) -> str:
    """What an issuer publishes that has these keys."""
    return json.dumps({"keys": [key.jwk if isinstance(key, SigningKey) else key for key in keys]})


def claims(sub: str = "alice", *, without: Iterable[str] = (), **others: object) -> dict[str, object]:
    """Claims of a JWT that holds for ten minutes and grants publishing to ``app.>``; *others* are put over them."""
    now = int(time.time())
    found = {"iss": NAME, "aud": AUDIENCE, "sub": sub, "iat": now, "exp": now + 600, "bus": {"publish": ["app.>"]}}
    return {name: value for name, value in (found | others).items() if name not in without}


def forge(header: Mapping[str, object], content: bytes, signature: bytes = b"") -> str:
    """A JWT that no library would make."""
    return b".".join(map(_encode, (json.dumps(header).encode(), content, signature))).decode()


def _encode(part: bytes) -> bytes:
    return urlsafe_b64encode(part).rstrip(b"=")
