"""Key sets: the public keys of an issuer, as it publishes them (JWKS, RFC 7517).

    {"keys": [{"kid": "2027-01", "kty": "OKP", "crv": "Ed25519", "x": "…"}, …]}

A key is for one algorithm: its ``alg``, or what its type implies. What is for something else, for encryption or for an
algorithm that isn't taken, is left out, as are RSA keys below 2048 bits.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK, PyJWTError

from bus.errors import ConfigError, UnauthorizedError

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""What is in a key that isn't public (RFC 7518, section 6)."""


class _Jwks(msgspec.Struct):
    keys: list[dict[str, object]]


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key for one *algorithm*; *text* is how the issuer has it, and *kid* is empty if it has no name there."""

    kid: str
    algorithm: str
    text: bytes = field(repr=False)
    jwk: PyJWK = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one issuer, and how many others were left out."""

    keys: frozenset[VerificationKey] = frozenset()
    left_out: int = field(default=0, compare=False)

    @classmethod
    def parse(cls, text: str | bytes, algorithms: Collection[str]) -> KeySet:
        """Those of *text* that are for one of *algorithms*. Raises `ConfigError` that shows nothing of it."""
        try:
            entries = msgspec.json.decode(text, type=_Jwks).keys
        except (msgspec.DecodeError, RecursionError):
            raise ConfigError('is no key set: it is JSON like {"keys": [{"kty": …}, …]}') from None
        if any(not _PRIVATE_MEMBERS.isdisjoint(entry) for entry in entries):
            raise ConfigError("holds a private key or a shared secret: only the issuer may have these")
        keys = frozenset(key for key in map(_read_key, entries) if key and key.algorithm in algorithms)
        if not keys:
            raise ConfigError(f"holds no key for {' or '.join(algorithms)}")
        return cls(keys, len(entries) - len(keys))

    def find(self, kid: str | None, algorithm: str) -> VerificationKey | None:
        """The key named *kid*, or without a name the only one for *algorithm*; None if there is none such.

        Raises `UnauthorizedError` if it is for another algorithm, or if there are several.
        """
        named = [key for key in self.keys if kid in (None, key.kid)]
        fitting = [key for key in named if key.algorithm == algorithm]
        if kid and named and not fitting:
            raise UnauthorizedError(f"the JWT's key {kid[:80]!a} is not for {algorithm}")
        if len(fitting) > 1:
            raise UnauthorizedError(f"the JWT doesn't say by kid which of {len(fitting)} keys it is signed with")
        return fitting[0] if fitting else None

    def __len__(self) -> int:
        return len(self.keys)


def _read_key(entry: dict[str, object]) -> VerificationKey | None:
    """The key that *entry* is; None if it is for something else than signatures, or can't be used."""
    if entry.get("use", "sig") != "sig" or "verify" not in _operations(entry):
        return None
    try:
        jwk = PyJWK(entry)
    except (PyJWTError, UnsupportedAlgorithm):
        return None
    if jwk.Algorithm.check_key_length(jwk.key):
        return None
    kid = entry.get("kid")
    text = msgspec.json.encode(entry, order="sorted")
    return VerificationKey(kid if isinstance(kid, str) else "", jwk.algorithm_name, text, jwk)


def _operations(entry: dict[str, object]) -> Collection[object]:
    """What the key may be used for (RFC 7517, section 4.3); for anything, if it doesn't say."""
    operations = entry.get("key_ops", ["verify"])
    return operations if isinstance(operations, list) else ()
