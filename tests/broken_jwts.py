"""JWTs that nobody may take, and what is said of each."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.issuer import claims, forge, signing_key

ED, EC, RSA = signing_key("ed"), signing_key("ec", "ES256"), signing_key("rsa", "RS256")
THIEF = signing_key("thief")
KEYS = (ED, EC, RSA)


@dataclass(frozen=True, slots=True)
class Broken:
    """A JWT, what is wrong with it, and what is said of that."""

    what: str
    token: str
    said: str


def broken_jwts() -> Iterator[Broken]:
    """One of each kind, for an issuer with `KEYS`."""
    yield from _with_broken_signatures()
    yield from _with_broken_headers()
    yield from _of_other_times_and_places()
    yield from _that_grant_nothing()


def _with_broken_signatures() -> Iterator[Broken]:
    good = ED.sign(claims())
    head, content, signature = good.split(".")
    other = ED.sign(claims("mallory")).split(".")[1]
    changed = "signature isn't of its key"
    yield Broken("its content is that of another", f"{head}.{other}.{signature}", changed)
    yield Broken("its signature is cut", good[:-2], changed)
    yield Broken("it has no signature", f"{head}.{content}.", changed)
    yield Broken("signed by somebody else in the name of a key", THIEF.sign(claims(), kid="ed"), changed)
    yield Broken("it brings a key of its own", THIEF.sign(claims(), kid="ed", jwk=THIEF.jwk), changed)
    elsewhere = {"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/cert"}
    yield Broken("it says where to get another key", THIEF.sign(claims(), kid="ed", **elsewhere), changed)


def _with_broken_headers() -> Iterator[Broken]:
    content = json.dumps(claims()).encode()
    for alg in ("none", "None", "nOnE", ""):
        yield Broken(f"its alg is {alg!r}", forge({"alg": alg, "kid": "ed"}, content), "is not taken here")
    yield Broken("a public key is taken for a secret", _confused(content), "alg 'HS256' is not taken here")
    yield Broken("its key is for another algorithm", ED.sign(claims(), kid="rsa"), "key 'rsa' is not for EdDSA")
    yield Broken("it has no alg", forge({"kid": "ed"}, content), "can't be read")
    yield Broken("its kid is no text", forge({"alg": "EdDSA", "kid": ["ed"]}, content), "can't be read")
    yield Broken("something unknown in it is critical", ED.sign(claims(), crit=["exp"], exp=1), "critical")
    yield Broken("nothing in it is critical", ED.sign(claims(), crit=[]), "critical")
    yield Broken("it is a logout token", ED.sign(claims(), typ="logout+jwt"), "another thing than a token for access")
    yield Broken("its header is no JSON", ".".join(["eyJ", *ED.sign(claims()).split(".")[1:]]), "can't be read")
    yield Broken("it is nothing but dots", "..", "can't be read")


def _confused(content: bytes) -> str:
    """Signed with the text of the RSA key as a shared secret, for a server that lets the token choose."""
    signed = forge({"alg": "HS256", "kid": "rsa"}, content).rstrip(".")
    digest = hmac.digest(json.dumps(RSA.jwk).encode(), signed.encode(), hashlib.sha256)
    return forge({"alg": "HS256", "kid": "rsa"}, content, digest)


def _of_other_times_and_places() -> Iterator[Broken]:
    now = int(time.time())
    yield Broken("it has expired", ED.sign(claims(exp=now - 61)), "has expired")
    yield Broken("it never expires", ED.sign(claims(without=["exp"])), "missing required field exp")
    yield Broken("its exp is no number", ED.sign(claims(exp="tomorrow")), "exp expected float")
    yield Broken("its exp is true", ED.sign(claims(exp=True)), "exp expected float")
    yield Broken("it holds only later", ED.sign(claims(nbf=now + 300)), "holds only later")
    yield Broken("it was issued in the future", ED.sign(claims(iat=now + 300)), "holds only later")
    yield Broken("it is of another issuer", ED.sign(claims(iss="https://id.example.com/realms/sho")), "is of issuer")
    yield Broken("it is for somebody else", ED.sign(claims(aud=["shop", "busy"])), "its aud has no 'bus'")
    yield Broken("it is for nobody", ED.sign(claims(without=["aud"])), "missing required field aud")
    yield Broken("it is of nobody", ED.sign(claims(without=["sub"])), "missing required field sub")
    for sub in ("", "a b", "a\nb", "x" * 257):
        yield Broken(f"its sub is {sub[:9]!r}", ED.sign(claims(sub)), "sub is no name")


def _that_grant_nothing() -> Iterator[Broken]:
    yield Broken("it has no rights", ED.sign(claims(without=["bus"])), "no claim 'bus', so it grants nothing")
    for rights, said in (
        ({"publsh": ["app.>"]}, "key 'publsh' is not known: did you mean publish?"),
        ({"publish": ["*.a"]}, "publish: pattern '*.a' starts with a wildcard"),
        ({"admin": "true"}, "admin expected bool, got str"),
        ({"hash": "sha256:"}, "key 'hash' is not known"),
        ('{"admin": true}', "expected object, got str"),
    ):
        yield Broken(f"its rights are {rights}", ED.sign(claims(bus=rights)), said)
