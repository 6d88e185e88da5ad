"""Key sets: which keys of an issuer are taken, and which are left out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.access.jwt_table import ALGORITHMS
from bus.access.key_set import KeySet
from bus.errors import ConfigError
from tests.issuer import Jwk, key_set, signing_key

ED, EC, RSA = signing_key("ed"), signing_key("ec", "ES256"), signing_key("rsa", "RS256")


def parse(*keys: Jwk) -> KeySet:
    return KeySet.parse(key_set(ED, *keys), ALGORITHMS)


def test_a_key_is_for_one_algorithm() -> None:
    keys = KeySet.parse(key_set(ED, EC, RSA), ALGORITHMS)
    assert {(key.kid, key.algorithm) for key in keys.keys} == {("ed", "EdDSA"), ("ec", "ES256"), ("rsa", "RS256")}
    assert len(KeySet.parse(key_set(ED, EC, RSA), ["ES256"])) == 1


OTHERS: dict[str, Jwk] = {
    "encrypts": RSA.jwk | {"use": "enc"},
    "encrypts by OAEP": RSA.jwk | {"alg": "RSA-OAEP"},
    "of another RSA": RSA.jwk | {"alg": "PS256"},
    "may only encrypt": RSA.jwk | {"key_ops": ["encrypt"]},
    "says it wrongly": RSA.jwk | {"key_ops": "verify"},
    "says what it is not": RSA.jwk | {"alg": "ES256"},
    "of another curve": EC.jwk | {"crv": "P-384"},
    "cut": EC.jwk | {"x": "AA"},
    "agrees on secrets": ED.jwk | {"crv": "X25519"},
    "without itself": ED.jwk | {"x": None},
    "weak": signing_key("weak", "RS256", bits=1024).jwk,
    "of a later time": {"kty": "new"},
    "nothing": {},
}


@pytest.mark.parametrize("key", list(OTHERS.values()), ids=OTHERS)
def test_other_keys_are_left_out(key: Jwk) -> None:
    keys = parse(key)
    assert ([found.kid for found in keys.keys], keys.left_out) == (["ed"], 1)


def test_the_same_keys_in_another_order_are_the_same() -> None:
    assert KeySet.parse(key_set(ED, EC), ALGORITHMS) == KeySet.parse(key_set(EC, ED), ALGORITHMS)
    assert KeySet.parse(key_set(ED), ALGORITHMS) != KeySet.parse(key_set(ED.jwk | {"kid": "other"}), ALGORITHMS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no key set"),
        ("<html>", "is no key set"),
        ("[]", "is no key set"),
        (json.dumps(ED.jwk), "is no key set"),
        ("[" * 100_000, "is no key set"),
        ('{"keys": []}', "holds no key for EdDSA or ES256 or RS256"),
        (key_set(ED.jwk | {"d": "c2VjcmV0"}), "holds a private key"),
        (key_set(ED, {"kty": "oct", "k": "c2VjcmV0"}), "holds a private key or a shared secret"),
    ],
)
def test_what_is_no_key_set(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        KeySet.parse(text, ALGORITHMS)
    assert "c2VjcmV0" not in caught.value.message


MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "kid", "key_ops"])
VALUES = st.one_of(
    st.none(), st.integers(), st.text(), st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB"])
)


@given(st.sampled_from([ED.jwk, EC.jwk, RSA.jwk]), st.dictionaries(MEMBERS, VALUES))
def test_a_key_that_is_broken_is_left_out(key: Jwk, broken: Jwk) -> None:
    keys = parse(key | broken)
    assert len(keys) + keys.left_out == 2
