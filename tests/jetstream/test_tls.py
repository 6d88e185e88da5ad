"""TLS to nats-servers with an authority of one's own, certificates of both sides, and an nkey."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from tests.authority import Authority
from tests.nats.keys import USER, Key
from tests.nats.servers import Servers
from tests.support import ServerProcess, request, run_bus

EVENT = b'{"subject": "app.a", "payload": 1}'


@pytest.fixture
def seed(tmp_path: Path) -> tuple[Path, Key]:
    """A file with the seed of a user's key, and the key."""
    key, path = Key(USER), tmp_path / "user.nk"
    path.write_text(key.seed)
    return path, key


@pytest.fixture
def demanding(tmp_path: Path, authority: Authority, seed: tuple[Path, Key]) -> Iterator[Servers]:
    """A node that wants a certificate of the authority, and the signature of the key."""
    shown = authority.server
    files = f'cert_file: "{shown.certificate}", key_file: "{shown.key}", ca_file: "{authority.path}"'
    users = f"authorization {{ users: [{{ nkey: {seed[1].public} }}] }}"
    settings = f"tls {{ {files}, verify: true, timeout: 5 }}\n{users}"
    with Servers(tmp_path / "nats", settings=settings) as servers:
        yield servers


def test_events_are_stored_over_tls(
    tmp_path: Path, demanding: Servers, authority: Authority, seed: tuple[Path, Key]
) -> None:
    shown = authority.issue("bus", "bus.example")
    flags = ["--engine", f"tls://{demanding.addresses}/prod", "--engine-credentials", str(seed[0])]
    files = ["--engine-tls-ca", str(authority.path), "--engine-tls-cert", str(shown.certificate)]
    server = ServerProcess(tmp_path / "bus", flags=[*flags, *files, "--engine-tls-key", str(shown.key)])
    with closing(server):
        assert request(server, "POST", "/", EVENT).status == 202


@pytest.mark.parametrize(
    ("scheme", "flags", "said"),
    [
        ("tls", [], "certificate verify failed"),
        ("tls", ["--engine-tls-ca", "CA"], "certificate required"),
        ("tls", ["--engine-tls-ca", "NONE"], "--engine-tls-ca: NONE has no authorities in PEM"),
        ("tls", ["--engine-tls-cert", "NONE"], "--engine-tls-cert: NONE and its key can't be used"),
        ("tls", ["--engine-tls-key", "CA"], "--engine-tls-key needs --engine-tls-cert"),
        ("nats", ["--engine-tls-ca", "CA"], "write tls:// in --engine"),
        ("nats", [], "use tls:// in its address"),
    ],
)
def test_what_is_wrong_is_said_at_the_start(
    demanding: Servers, authority: Authority, scheme: str, flags: list[str], said: str
) -> None:
    words = {"CA": str(authority.path)}
    engine = ["--engine", f"{scheme}://{demanding.addresses}/prod", *(words.get(word, word) for word in flags)]
    ended = run_bus("server", "--addr", "127.0.0.1:0", "--namespaces", "app", *engine)
    assert (ended.returncode, said in ended.stderr.decode()) == (1, True), ended.stderr


def test_nobody_is_asked_for_a_password(authority: Authority, tmp_path: Path) -> None:
    shown, encrypted = authority.issue("bus", "bus.example"), tmp_path / "encrypted.key"
    key = load_pem_private_key(shown.key.read_bytes(), None)
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"sesame")))
    files = ["--engine-tls-cert", str(shown.certificate), "--engine-tls-key", str(encrypted)]
    ended = run_bus("server", "--addr", "127.0.0.1:0", "--namespaces", "app", "--engine", "tls://127.0.0.1:1", *files)
    assert (ended.returncode, b"store it in clear" in ended.stderr) == (1, True), ended.stderr
