"""Tokens and the file that says what they may do: what is wrong with it is said, and never what is secret in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.access.limits import Limits
from bus.access.token import PREFIX, hash_of, is_token, new_token
from bus.access.token_file import parse_tokens, read_token_file
from bus.errors import ConfigError
from bus.units import SECOND_NS, Rate

TOKEN = "bus_0EXAMPLE0EXAMPLE0EXAMPLE0EXAMPLE0EXAMPLEabc1BOVre"
"""The same in every process that collects these tests."""
HASH = f'hash = "{hash_of(TOKEN)}"'


def _jwt(more: str, *, jwks: str = "keys.json") -> str:
    return f"[jwt]\nissuer = 'a'\naudience = 'b'\njwks = '{jwks}'\n{more}"


def test_a_token_is_recognised() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(is_token(token) and token.startswith(PREFIX) and len(token) == 53 for token in tokens)


@given(st.integers(0, 52), st.sampled_from("0aZ_é"))
def test_a_mistyped_token_is_none(place: int, letter: str) -> None:
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    assert is_token(changed) == (changed == TOKEN)


@pytest.mark.parametrize("text", ["", TOKEN[:-1], TOKEN + TOKEN, TOKEN + "\n", f" {TOKEN}", TOKEN.upper()])
def test_a_cut_or_doubled_token_is_none(text: str) -> None:
    assert not is_token(text)


def test_the_whole_file() -> None:
    tokens = parse_tokens(
        f"""
        [anonymous]
        subscribe = ["public.>"]
        [tokens.billing]
        {HASH}
        publish = ["orders.invoice.*"]
        subscribe = ["orders.>"]
        consumers = ["billing", "billing-*"]
        manage = ["billing", "orders.>"]
        reply = true
        expires = 2027-01-01T01:00:00+01:00
        limits = {{ requests = "500/s", bytes = "5MB/s", streams = 50, consumers = 5 }}
        [tokens.root]
        hash = "{hash_of(new_token())}"
        admin = true
        [certs."spiffe://example.org/shop"]
        publish = ["orders.>"]
        """,
        place="test",
    )
    billing = tokens.find(TOKEN.encode())
    assert billing and billing.name == "billing"
    rights = billing.rights
    assert rights.may_publish("orders.invoice.sent") and not rights.may_publish("orders.paid")
    assert rights.may_consume("billing-2") and rights.may_manage("billing") and rights.may_manage("x", ["orders.a"])
    assert rights.may_reply and not rights.may_measure
    assert billing.expires == 1798761600 * SECOND_NS
    assert not billing.has_expired(1798761600 * SECOND_NS - 1) and billing.has_expired(1798761600 * SECOND_NS)
    assert tokens.anonymous and tokens.anonymous.rights.may_subscribe("public.news")
    assert tokens.find(new_token().encode()) is None
    assert billing.limits == Limits(requests=Rate(500), bytes=Rate(5_000_000), streams=50, consumers=5)
    shop = tokens.certified("spiffe://example.org/shop")
    assert shop and shop.rights.may_publish("orders.a") and shop.limits is None
    assert str(shop) == "certificate spiffe://example.org/shop" and tokens.named(shop.name) is shop
    assert tokens.certified("another") is tokens.anonymous
    assert len(tokens) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("tokens = 1", "tokens is not a table"),
        ("[token.a]", "table 'token' is not known: did you mean tokens?"),
        ("[tokens.a", "Expected ']'"),
        (f"[tokens.a]\n{HASH}\npublsh = []", "tokens.a: key 'publsh' is not known: did you mean publish?"),
        (f"[tokens.a]\n{HASH}\npublish = 'app.a'", "tokens.a: publish expected array, got str"),
        (f"[tokens.a]\n{HASH}\npublish = [1]", "tokens.a: publish[0] expected str, got int"),
        (f"[tokens.a]\n{HASH}\npublish = ['*.a']", "tokens.a: publish: pattern '*.a' starts with a wildcard"),
        (f"[tokens.a]\n{HASH}\nsubscribe = ['app']", "tokens.a: subscribe: subject 'app' has no dot"),
        (f"[tokens.a]\n{HASH}\nsubscribe = ['app.>.a']", "has '>' before its end"),
        (f"[tokens.a]\n{HASH}\nsubscribe = ['_bus_.>']", "reads others' inboxes"),
        (f"[tokens.a]\n{HASH}\nconsumers = ['a b']", "tokens.a: consumers: 'a b' is no consumer's name"),
        (f"[tokens.a]\n{HASH}\nmanage = ['a b']", "tokens.a: manage: 'a b' is no consumer's name"),
        (f"[tokens.a]\n{HASH}\nmanage = ['app..b']", "tokens.a: manage: subject 'app..b' has an empty segment"),
        (f"[tokens.a]\n{HASH}\nadmin = 1", "tokens.a: admin expected bool, got int"),
        (f"[tokens.a]\n{HASH}\nexpires = 2027-01-01", "tokens.a: expires"),
        (f"[tokens.a]\n{HASH}\nexpires = 2027-01-01T00:00:00", "tokens.a: expires"),
        ("[tokens.a]\npublish = []", "tokens.a: object missing required field hash"),
        ("[tokens.a]\nhash = 'sha256:abc'", "tokens.a: hash can't be read"),
        (f"[tokens.a]\n{HASH}\n[tokens.b]\n{HASH}", "tokens a and b have the same hash"),
        (f"[tokens.a]\n{HASH}\n[tokens.a]\n{HASH}", "twice"),
        (f"[tokens.'a b']\n{HASH}", "name 'a b' is malformed"),
        (f"[tokens.anonymous]\n{HASH}", "name anonymous is for whoever brings no token"),
        (f"[anonymous]\n{HASH}", "anonymous: key 'hash' is not known"),
        (f"[anonymous]\n[tokens.a]\n{HASH}\ntoken = '{TOKEN}'", "key 'token' is not known"),
        (f"[tokens.a]\nhash = '{TOKEN}'", "hash can't be read"),
        (f"[tokens.a]\n{HASH}\nlimits = {{ streems = 1 }}", "a: limits: key 'streems' is not known: did you mean stre"),
        (f"[tokens.a]\n{HASH}\nlimits = {{ streams = -1 }}", "tokens.a: limits.streams expected int >= 0"),
        (f"[tokens.a]\n{HASH}\nlimits = {{ streams = '1' }}", "tokens.a: limits.streams expected int | null, got str"),
        (f"[tokens.a]\n{HASH}\nlimits = {{ requests = '5' }}", "tokens.a: limits.requests: rate '5' can't be read"),
        (f"[tokens.a]\n{HASH}\nlimits = {{ bytes = 5 }}", "tokens.a: limits.bytes expected str | null, got int"),
        ("[anonymous]\nlimits = 1", "anonymous: limits expected object | null, got int"),
        ("certs = 1", "certs is not a table"),
        ("[certs.a]\nhash = 'x'", "certs.a: key 'hash' is not known"),
        ("[certs.a]\npublish = ['app']", "certs.a: publish: subject 'app' has no dot"),
        ("[certs.'']", "certs.: name '' is malformed"),
        ('[certs."a\\nb"]', "is malformed: 1 to 256 characters that can be seen"),
        ("[certs.anonymous]", "name anonymous is for whoever brings no token"),
        (f"[tokens.a]\n{HASH}\n[certs.a]", "a token and a certificate are both named a"),
        ("[certs.'jwt:a']", "certs.jwt:a: name 'jwt:a' is that of somebody with a JWT"),
        ("[jwt]\nissuer = 'a'\naudience = 'b'", "jwt: object missing required field jwks"),
        ("jwt = 1", "jwt: expected object, got int"),
        (_jwt("secret = 'x'"), "jwt: key 'secret' is not known"),
        (_jwt("algorithms = ['HS256']"), "jwt: algorithms: 'HS256' is not taken: known are EdDSA, ES256, RS256"),
        (_jwt("algorithms = ['none']"), "jwt: algorithms: 'none' is not taken"),
        (_jwt("algorithms = []"), "jwt: algorithms is empty"),
        (_jwt("claim = ''"), "jwt: claim is empty"),
        (_jwt("", jwks="https:///keys"), "jwt: jwks names no host"),
        (_jwt("", jwks="http://[/keys"), "jwt: jwks names no host"),
        (_jwt("", jwks=f"https://bus:{TOKEN}@id.example.com/keys"), "jwt: jwks has a user in it"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_secret(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_tokens(text, place="test")
    message = caught.value.message
    assert message.startswith("token file test: ") and said in message
    assert TOKEN not in message and len(message.splitlines()) == 1


def test_the_file_on_the_page_can_be_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
    tokens, jwts = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [found.name for found in parse_tokens(tokens, place="page")] == ["billing", "shop.example.com", "anonymous"]
    assert parse_tokens(jwts, place="page").jwt


def test_jwts_of_an_issuer() -> None:
    tokens = parse_tokens(_jwt(""), place="test")
    assert tokens.jwt and tokens.jwt.algorithms == ("EdDSA", "ES256", "RS256") and tokens.jwt.claim == "bus"
    assert tokens.jwt.address == "" and tokens.jwt.file(Path("/etc/bus/tokens.toml")) == Path("/etc/bus/keys.json")
    assert len(tokens) == 0 and parse_tokens("[anonymous]", place="test").jwt is None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text("[anonymous]")
    path.chmod(mode)
    with pytest.raises(ConfigError, match="may be written by others"):
        read_token_file(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "none", "no such file"), (tmp_path, "is a directory")):
        with pytest.raises(ConfigError, match=said):
            read_token_file(path)
    binary = tmp_path / "binary"
    binary.touch(0o600)
    binary.write_bytes(os.urandom(100) + b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_token_file(binary)
