"""JSON web tokens are taken if all is right with them, and refused with what is not."""

from __future__ import annotations

import json
import re
from functools import cache
from time import time_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.access import jwt_verifier
from bus.access.jwt_table import ALGORITHMS, JwtTable
from bus.access.jwt_verifier import LEEWAY, JwtPrincipal, JwtVerifier
from bus.access.key_set import KeySet
from bus.errors import UnauthorizedError
from bus.units import SECOND_NS
from tests.broken_jwts import EC, ED, KEYS, RSA, Broken, broken_jwts
from tests.issuer import AUDIENCE, NAME, SigningKey, claims, key_set, signing_key

TABLE = JwtTable(NAME, AUDIENCE, "keys.json")


def verifier(*keys: SigningKey, table: JwtTable = TABLE) -> JwtVerifier:
    return JwtVerifier(table, KeySet.parse(key_set(*keys), table.algorithms))


@cache
def shared() -> JwtVerifier:
    return verifier(*KEYS)


def find(token: str | bytes, found_by: JwtVerifier | None = None, *, now: int | None = None) -> JwtPrincipal | None:
    text = token.encode() if isinstance(token, str) else token
    return (found_by or shared()).find(text, now=time_ns() if now is None else now)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.algorithm)
def test_who_it_is_and_what_it_grants(key: SigningKey) -> None:
    principal = find(key.sign(claims("alice@clients", exp=2_000_000_000.5)))
    assert principal and principal.name == str(principal) == "jwt:alice@clients"
    assert principal.rights.may_publish("app.a") and not principal.rights.may_subscribe("app.a")
    assert principal.expires == (2_000_000_000 + LEEWAY) * SECOND_NS


@pytest.mark.parametrize("broken", list(broken_jwts()), ids=lambda broken: re.sub(r"\W+", "-", broken.what))
def test_what_is_broken_is_refused(broken: Broken) -> None:
    with pytest.raises(UnauthorizedError, match=re.escape(broken.said)) as caught:
        find(broken.token)
    assert len(caught.value.message.splitlines()) == 1
    assert not any(part and part in caught.value.message for part in broken.token.split(".")), "the token is shown"


@pytest.mark.parametrize("more", [{"typ": "at+jwt"}, {"typ": "application/AT+JWT"}, {"typ": ""}, {"cty": "x"}])
def test_headers_that_say_nothing_wrong(more: dict[str, object]) -> None:
    assert find(ED.sign(claims(), **more))


@pytest.mark.parametrize("more", [{"aud": ["shop", AUDIENCE]}, {"nbf": None}, {"azp": "shop", "realm_access": {}}])
def test_claims_that_say_nothing_wrong(more: dict[str, object]) -> None:
    assert find(ED.sign(claims() | more))


def test_clocks_may_differ_by_a_minute() -> None:
    token = ED.sign(claims(iat=1_000_000, nbf=1_000_000, exp=1_000_600))
    for seconds, holds in ((999_939, False), (999_940, True), (1_000_659, True), (1_000_660, False)):
        if holds:
            assert find(token, verifier(ED), now=seconds * SECOND_NS)
        else:
            with pytest.raises(UnauthorizedError):
                find(token, verifier(ED), now=seconds * SECOND_NS)


def test_only_the_algorithms_of_the_table_are_taken() -> None:
    table = JwtTable(NAME, AUDIENCE, "keys.json", ("ES256",))
    only = verifier(*KEYS, table=table)
    assert find(EC.sign(claims()), only)
    with pytest.raises(UnauthorizedError, match="alg 'EdDSA' is not taken here: it is to be ES256"):
        find(ED.sign(claims()), only)


def test_the_rights_are_in_the_claim_that_the_table_names() -> None:
    name = "https://bus.example.com/rights"
    elsewhere = verifier(ED, table=JwtTable(NAME, AUDIENCE, "keys.json", ALGORITHMS, name))
    principal = find(ED.sign(claims() | {name: {"admin": True}}), elsewhere)
    assert principal and principal.rights.admin


def test_limits_come_with_the_rights() -> None:
    principal = find(ED.sign(claims(bus={"publish": ["app.>"], "limits": {"streams": 5}})))
    assert principal and principal.limits and principal.limits.streams == 5
    with pytest.raises(UnauthorizedError, match="key 'streems' is not known: did you mean streams"):
        find(ED.sign(claims(bus={"limits": {"streems": 5}})))


def test_a_key_that_is_not_known_is_nobody() -> None:
    assert find(signing_key("new").sign(claims())) is None
    assert find(ED.sign(claims(), kid="")) is None


def test_a_token_without_kid_is_of_the_only_key_there_is() -> None:
    token = RSA.sign(claims(), kid=None)
    assert find(token)
    with pytest.raises(UnauthorizedError, match="by kid which of 2 keys"):
        find(token, verifier(RSA, signing_key("rsa2", "RS256")))


def test_what_was_found_good_is_remembered_for_the_very_same_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwt_verifier, "REMEMBERED", 2)
    found_by = verifier(ED)
    first, second, third = (ED.sign(claims(sub)) for sub in "abc")
    a, b = find(first, found_by), find(second, found_by)
    assert find(first, found_by) is a and a is not b
    find(third, found_by)
    assert find(second, found_by) is b and find(first, found_by) is not a


def test_a_principal_is_known_again_as_long_as_its_key_and_its_terms_are() -> None:
    principal = find(ED.sign(claims()))
    assert principal
    assert verifier(ED).again(principal) is principal
    assert verifier(EC).again(principal) is None
    assert verifier(signing_key("ed", "ES256")).again(principal) is None
    assert verifier(ED, table=JwtTable(NAME, "other", "keys.json")).again(principal) is None


GOOD = ED.sign(claims())


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(b"AZaz09-_.=\x00\xff"))
def test_a_single_other_letter_is_noticed(place: int, letter: int) -> None:
    changed = GOOD[:place].encode() + bytes([letter]) + GOOD[place + 1 :].encode()
    if changed != GOOD.encode():
        assert _refused(changed)


@given(st.one_of(st.binary(max_size=200), st.lists(st.binary(max_size=60), min_size=3, max_size=3).map(b".".join)))
def test_bytes_that_are_no_jwt(data: bytes) -> None:
    assert _refused(data)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=5,
)


@given(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "bus"]), JSON)
def test_whatever_is_signed_is_understood_or_refused(name: str, value: object) -> None:
    token = ED.sign(claims() | {name: value})
    assert _refused(token.encode()) or find(token)


@pytest.mark.parametrize(
    "content", [b"[]", b"\xff", b"1", b"[" * 100_000, b'{"exp": 1e400}', b'{"exp": %b}' % (b"9" * 400)]
)
def test_what_is_signed_is_an_object(content: bytes) -> None:
    assert _refused(ED.sign(content).encode())


def _refused(token: bytes) -> bool:
    try:
        return find(token) is None
    except UnauthorizedError as error:
        json.dumps(error.message)
        return len(error.message.splitlines()) == 1
