"""JSON web tokens: whose they are and what they grant, by the keys of their issuer (RFC 7519, and RFC 8725 on how).

    header ─▶ alg taken? ─▶ key by kid, for this alg ─▶ signature ─▶ iss, aud, exp, nbf, iat ─▶ rights in the claim

What the header says of keys (``jwk``, ``jku``, ``x5u``) is not looked at, and what it calls critical is refused unless
it is known (RFC 7515, section 4.1.11). A JWT that was found good is remembered by its digest, so that a signature is
checked once and not with every request.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from jwt import InvalidSignatureError, PyJWS, PyJWTError

from bus.access.jwt_table import JwtTable
from bus.access.key_set import KeySet, VerificationKey
from bus.access.principal import JWT_NAME, Principal, Proof
from bus.access.tables import RightsTable, read_table
from bus.access.token import digest_of
from bus.errors import ConfigError, UnauthorizedError
from bus.units import SECOND_NS

LEEWAY = 60
"""Seconds by which the clocks of issuers and of this server may differ."""

REMEMBERED = 4096
"""JWTs that were found good last and are remembered."""

LONGEST_NAME = 256

_TYPES = ("jwt", "at+jwt")
"""What a token for somebody's access may call itself (RFC 9068, section 2.1)."""


class _Header(msgspec.Struct):
    alg: str
    kid: str | None = None
    typ: str = "JWT"


class _Claims(msgspec.Struct):
    """The claims that every JWT needs; times are in seconds since the epoch."""

    iss: str
    sub: str
    aud: str | list[str]
    exp: float
    nbf: float | None = None
    iat: float | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JwtPrincipal(Principal):
    """Somebody who is known by a JWT, signed with *key* and taken under the terms of *table*."""

    key: VerificationKey
    table: JwtTable

    def __str__(self) -> str:
        return self.name


class JwtVerifier:
    """Knows principals by JWTs that are signed with one of *keys* and are what *table* says."""

    def __init__(self, table: JwtTable, keys: KeySet) -> None:
        self.table = table
        self.keys = keys
        self._signatures = PyJWS(algorithms=table.algorithms)
        self._known: dict[bytes, JwtPrincipal] = {}

    def find(self, token: bytes, *, now: int) -> JwtPrincipal | None:
        """Whose *token* is at *now* (ns), None if the key that it names isn't known.

        Raises `UnauthorizedError` that says what is wrong with it. One that was good before may have expired since.
        """
        digest = digest_of(token)
        if known := self._known.get(digest):
            return known
        found = self._verify(token, digest, now)
        if found:
            self._remember(found)
        return found

    def again(self, principal: JwtPrincipal) -> JwtPrincipal | None:
        """*principal*, whom another verifier may have found, or None if this one wouldn't."""
        return principal if principal.table == self.table and principal.key in self.keys.keys else None

    def _remember(self, found: JwtPrincipal) -> None:
        self._known[found.digest] = found
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def _verify(self, token: bytes, digest: bytes, now: int) -> JwtPrincipal | None:
        key = self._find_key(token)
        if key is None:
            return None
        content = _read_content(self._check_signature(token, key))
        claims = _read_claims(content)
        self._check_parties(claims)
        _check_times(claims, now / SECOND_NS)
        return self._principal(claims, content, digest, key)

    def _principal(
        self, claims: _Claims, content: dict[str, object], digest: bytes, key: VerificationKey
    ) -> JwtPrincipal:
        name, expires = _name(claims.sub), int(claims.exp + LEEWAY) * SECOND_NS
        try:
            granted = read_table(self._claim(content), RightsTable)
            rights, limits = granted.read_rights(), granted.read_limits()
        except ConfigError as error:
            raise UnauthorizedError(f"the JWT's claim {self.table.claim!a} can't be read: {error}") from None
        return JwtPrincipal(name, rights, expires, digest, Proof.JWT, limits, key=key, table=self.table)

    def _find_key(self, token: bytes) -> VerificationKey | None:
        header = self._read_header(token)
        if header.alg not in self.table.algorithms:
            taken = " or ".join(self.table.algorithms)
            raise UnauthorizedError(f"the JWT's alg {header.alg[:80]!a} is not taken here: it is to be {taken}")
        if header.typ.lower().removeprefix("application/") not in _TYPES:
            raise UnauthorizedError(f"the JWT's typ {header.typ[:80]!a} is another thing than a token for access")
        return self.keys.find(header.kid, header.alg)

    def _read_header(self, token: bytes) -> _Header:
        try:
            return msgspec.convert(self._signatures.get_unverified_header(token), _Header)
        except (PyJWTError, msgspec.ValidationError):
            raise UnauthorizedError("the JWT can't be read: it is not whole, or has something critical in it") from None

    def _check_signature(self, token: bytes, key: VerificationKey) -> bytes:
        """What is signed."""
        try:
            read = self._signatures.decode_complete(token, key.jwk, [key.algorithm])
        except InvalidSignatureError:
            raise UnauthorizedError("the JWT's signature isn't of its key: it was changed, or cut") from None
        except PyJWTError:
            raise UnauthorizedError("the JWT can't be read: its signature can't be checked") from None
        content: bytes = read["payload"]
        return content

    def _check_parties(self, claims: _Claims) -> None:
        """Raise `UnauthorizedError` if it is of another issuer, or for somebody else."""
        if claims.iss != self.table.issuer:
            raise UnauthorizedError(f"the JWT is of issuer {claims.iss[:80]!a}, not of {self.table.issuer!a}")
        if self.table.audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise UnauthorizedError(f"the JWT is for others: its aud has no {self.table.audience!a}")

    def _claim(self, content: dict[str, object]) -> object:
        if self.table.claim not in content:
            raise UnauthorizedError(f"the JWT has no claim {self.table.claim!a}, so it grants nothing")
        return content[self.table.claim]

    def __repr__(self) -> str:
        return f"<JwtVerifier of {self.table.issuer} by {len(self.keys)} keys>"


def _read_content(text: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        raise UnauthorizedError("the JWT can't be read: what is signed is no JSON object") from None


def _read_claims(content: dict[str, object]) -> _Claims:
    try:
        return read_table(content, _Claims)
    except ConfigError as error:
        raise UnauthorizedError(f"the JWT's claims can't be read: {error}") from None


def _check_times(claims: _Claims, now: float) -> None:
    """Raise `UnauthorizedError` unless it holds at *now* (s), as far as clocks agree."""
    if claims.exp + LEEWAY <= now:
        raise UnauthorizedError("the JWT has expired: ask its issuer for another")
    if max(claims.nbf or 0, claims.iat or 0) - LEEWAY > now:
        raise UnauthorizedError("the JWT holds only later by its nbf or iat: do the clocks differ?")


def _name(subject: str) -> str:
    """The name of whoever is *subject* to the issuer; logs and refusals show it."""
    if not subject.isprintable() or " " in subject or not 0 < len(subject) <= LONGEST_NAME:
        raise UnauthorizedError(f"the JWT's sub is no name: it is 1 to {LONGEST_NAME} characters without blanks")
    return JWT_NAME + subject
