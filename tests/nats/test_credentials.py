"""Who a client is, shown to servers that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus.nats import (
    CannotConnectError,
    Client,
    Credentials,
    Location,
    SettingsError,
    UnauthorizedError,
    UserKey,
)
from tests.authority import Authority
from tests.nats.conftest import run_with
from tests.nats.keys import ACCOUNT, OPERATOR, USER, Key
from tests.nats.listening import Listening
from tests.nats.servers import Servers


async def works(client: Client) -> None:
    await client.cluster.flush()


@contextmanager
def servers(tmp_path: Path, settings: str) -> Iterator[Servers]:
    with Servers(tmp_path / "nats", settings=settings) as running:
        yield running


def test_user_and_password(tmp_path: Path) -> None:
    with servers(tmp_path, 'authorization { user: "us/er", password: "p@ss:word" }') as running:
        run_with(f"nats://us%2Fer:p%40ss%3Aword@{running.addresses}", works)
        for secret in ("", "us%2Fer:wrong@", "token@"):
            with pytest.raises(UnauthorizedError, match="Authorization Violation"):
                run_with(f"nats://{secret}{running.addresses}", works)


def test_token(tmp_path: Path) -> None:
    with servers(tmp_path, 'authorization { token: "sesame" }') as running:
        run_with(f"nats://sesame@{running.addresses}", works)
        with pytest.raises(UnauthorizedError):
            run_with(f"nats://other@{running.addresses}", works)


def test_nkey(tmp_path: Path) -> None:
    key, other = Key(USER), Key(USER)
    with servers(tmp_path, f"authorization {{ users: [{{ nkey: {key.public} }}] }}") as running:
        seed = tmp_path / "user.nk"
        seed.write_text(f"{key.seed}\n")
        run_with(running.url, works, credentials=Credentials.read(seed))
        with pytest.raises(UnauthorizedError):
            run_with(running.url, works, credentials=Credentials(key=UserKey(other.seed)))


def test_credentials_file(tmp_path: Path) -> None:
    operator, system, account, user = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT), Key(USER)
    unlimited = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}
    limits = {"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1} | unlimited
    accounts = {
        system.public: operator.token(system.public, "account", limits=limits | dict.fromkeys(unlimited, 0)),
        account.public: operator.token(account.public, "account", limits=limits),
    }
    preload = ", ".join(f'{name}: "{token}"' for name, token in accounts.items())
    operator_token = operator.token(operator.public, "operator")
    settings = (
        f"operator: {operator_token}\nsystem_account: {system.public}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {preload} }}"
    )
    permissions = {"subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {}}
    token = account.token(user.public, "user", **permissions)
    file = tmp_path / "user.creds"
    file.write_text(
        f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\nKeep it secret.\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
    )
    with servers(tmp_path, settings) as running:

        async def uses_jetstream(client: Client) -> None:
            assert (await client.jetstream.account()).streams == 0

        run_with(running.url, uses_jetstream, credentials=Credentials.read(file))
        with pytest.raises(UnauthorizedError):
            run_with(running.url, works)


def test_a_subject_that_may_not_be_used(tmp_path: Path) -> None:
    users = 'users: [{ user: u, password: p, permissions: { publish: "a", subscribe: ">" } }]'
    listening = Listening()

    async def check(client: Client) -> None:
        client.cluster.publish("b")
        assert 'Permissions Violation for Publish to "b"' in str(await listening.refusals.get())
        await client.cluster.flush()

    with servers(tmp_path, f"authorization {{ {users} }}") as running:
        run_with(f"nats://u:p@{running.addresses}", check, listener=listening)


@pytest.mark.parametrize("first", [False, True], ids=["upgraded", "required"])
def test_tls(tmp_path: Path, authority: Authority, first: bool) -> None:
    identity = authority.server
    tls = f'tls {{ cert_file: "{identity.certificate}", key_file: "{identity.key}", timeout: 5 }}'
    with servers(tmp_path, tls + ("" if first else "\nallow_non_tls: true")) as running:
        url = f"tls://{running.addresses}"
        run_with(url, works, tls=authority.client_context(), connect_seconds=5.0)
        with pytest.raises(CannotConnectError, match="certificate verify failed"):
            run_with(url, works, connect_seconds=5.0)
        if first:
            with pytest.raises(CannotConnectError, match="use tls://"):
                run_with(running.url, works)


def test_a_client_certificate(tmp_path: Path, authority: Authority) -> None:
    identity = authority.server
    files = f'cert_file: "{identity.certificate}", key_file: "{identity.key}", ca_file: "{authority.path}"'
    with servers(tmp_path, f"tls {{ {files}, verify: true, timeout: 5 }}") as running:
        shown = authority.client_context(authority.issue("client", "client.example"))
        run_with(f"tls://{running.addresses}", works, tls=shown, connect_seconds=5.0)
        with pytest.raises(CannotConnectError):
            run_with(f"tls://{running.addresses}", works, tls=authority.client_context(), connect_seconds=5.0)


def test_a_server_without_tls(tmp_path: Path, authority: Authority) -> None:
    with servers(tmp_path, "") as running, pytest.raises(CannotConnectError):
        run_with(f"tls://{running.addresses}", works, tls=authority.client_context())


def test_addresses() -> None:
    location = Location.parse("nats://u:p%40@a:1,b,[::1]:3/prefix")
    assert [str(server) for server in location.servers] == ["a:1", "b:4222", "[::1]:3"]
    assert (location.user, location.password, location.path, location.tls) == ("u", "p@", "prefix", False)
    assert "p@" not in repr(location)
    assert Location.parse("tls://secret@a").token == "secret"
    assert Location.parse("tls://a").tls


@pytest.mark.parametrize("url", ["http://a", "a:4222", "nats://", "nats://a,,b", "nats://a:x", "nats://a:70000"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(SettingsError):
        Location.parse(url)


@pytest.mark.parametrize(
    "seed",
    ["", "SUA", Key(ACCOUNT).seed, Key(USER).public, Key(USER).seed[:-1] + "1"],
    ids=["empty", "short", "of an account", "public", "mistyped"],
)
def test_what_is_no_seed(tmp_path: Path, seed: str) -> None:
    file = tmp_path / "user.nk"
    file.write_text(seed)
    with pytest.raises(SettingsError, match="not the seed of a NATS user") as raised:
        Credentials.read(file)
    assert str(file) in str(raised.value)
    with pytest.raises(SettingsError, match="can't read credentials"):
        Credentials.read(tmp_path / "missing")
