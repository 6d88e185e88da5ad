"""Streams of clients whose rights change while they read."""

from __future__ import annotations

import subprocess
from itertools import chain, repeat
from pathlib import Path

import pytest

from bus import BusError, ForbiddenError, UnauthorizedError
from tests.client.conftest import Connect
from tests.conftest import StartServer
from tests.server.access import TokenFile
from tests.support import BUS, PATIENCE, ServerProcess, clean_environment

RIGHTS = {"publish": ["app.>"], "subscribe": ["app.>"]}


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "tokens.toml", reader=RIGHTS, second=RIGHTS)


@pytest.fixture
def guarded(start_server: StartServer, tokens: TokenFile) -> ServerProcess:
    return start_server(flags=["--auth", str(tokens.path), "--log-level", "DEBUG"])


def narrow(tokens: TokenFile) -> None:
    tokens.rights["reader"] = {"subscribe": ["orders.>"]}
    tokens.write()


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        (lambda tokens: tokens.revoke("reader"), UnauthorizedError, "revoked"),
        (narrow, ForbiddenError, "may not"),
    ],
    ids=["revoked", "narrowed"],
)
def test_a_stream_that_may_not_go_on_raises_what_is_missing(
    guarded: ServerProcess, tokens: TokenFile, connect: Connect, change: object, error: type[BusError], why: str
) -> None:
    assert callable(change)
    client = connect(guarded.url, token=tokens.tokens["reader"])
    events = client.get("app.>", start="oldest", timeout=PATIENCE)
    client.put("app.a", 1)
    assert next(events).payload == 1
    change(tokens)
    with pytest.raises(error, match=why):
        next(events)


def test_a_stream_goes_on_with_the_next_token(guarded: ServerProcess, tokens: TokenFile, connect: Connect) -> None:
    vault = chain([tokens.tokens["reader"]], repeat(tokens.tokens["second"]))
    client = connect(guarded.url, token=lambda: next(vault))
    events = client.get("app.>", start="oldest", timeout=PATIENCE)
    other = connect(guarded.url, token=tokens.tokens["second"])
    other.put("app.a", 1)
    assert next(events).payload == 1
    tokens.revoke("reader")
    guarded.wait_for_log("1 tokens")
    other.put("app.a", 2)
    assert next(events).payload == 2


def test_the_command_says_why_it_ends(guarded: ServerProcess, tokens: TokenFile) -> None:
    command = [*BUS, "get", "--subject", "app.>", "--start", "oldest", "--host", guarded.url]
    environment = {**clean_environment(), "BUS_TOKEN": tokens.tokens["reader"]}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    guarded.wait_for_log("opened on app")
    tokens.revoke("reader")
    _, told = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and "revoked" in told.splitlines()[-1], told
