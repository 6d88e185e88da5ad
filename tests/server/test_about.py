"""``/v1/server``: everybody learns what it may do, those who may measure how the server fares, admins the rest."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus import __version__
from bus.build import COMPILED
from tests.conftest import StartServer
from tests.server.access import TokenFile, ask
from tests.server.support import stored
from tests.support import ServerProcess, request

pytestmark = pytest.mark.every_engine

SECRET = "only for those who know it"


def about(server: ServerProcess, token: str = "") -> dict[str, Any]:
    answer = ask(server, token, "GET", "/v1/server")
    assert answer.status == 200
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


@pytest.mark.embedded_only("settings of the embedded engine")
def test_without_tokens_everybody_is_an_admin(server: ServerProcess) -> None:
    stored(server, "app.a")
    found = about(server)
    assert (found["who"], found["may"]["admin"]) == ("everybody", True)
    assert (found["version"], found["compiled"], found["python"], found["engine"]) == (
        __version__, COMPILED, platform.python_version(), "embedded",
    )  # fmt: skip
    assert 0 < found["counts"]["sync_p50"] <= found["counts"]["sync_p99"]
    assert found["counts"]["memory"] > 1 << 20
    assert found["settings"]["namespaces"] == "app,orders,github"
    assert found["log"][0]["message"].startswith("listening on http://127.0.0.1")


@pytest.mark.embedded_only("settings of the embedded engine")
def test_no_secret_is_shown(start_server: StartServer) -> None:
    server = start_server(env={"BUS_SECRET_KEY": SECRET})
    assert about(server)["settings"]["secret-key"] == "(set)"
    assert SECRET.encode() not in request(server, "GET", "/v1/server").body
    assert SECRET not in server.log


def test_requests_do_not_push_other_lines_out(start_server: StartServer) -> None:
    server = start_server(flags=["--access-log"])
    for _ in range(300):
        request(server, "GET", "/healthz")
    assert [line["logger"] for line in about(server)["log"]] == ["bus.server"]


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    return TokenFile(
        tmp_path / "tokens.toml",
        root={"admin": True},
        meter={"metrics": True},
        some={
            "publish": ["app.a"],
            "subscribe": ["app.>"],
            "consumers": ["c*"],
            "manage": ["c", "app.>"],
            "reply": True,
        },
    )


def test_each_learns_what_it_may(start_server: StartServer, tokens: TokenFile) -> None:
    server = start_server(flags=["--auth", str(tokens.path)])
    assert about(server, tokens.tokens["some"]) == {
        "who": "some",
        "may": {
            "admin": False, "publish": ["app.a"], "subscribe": ["app.>"], "consumers": ["c*"],
            "manage": ["c", "app.>"], "reply": True, "metrics": False,
        },
    }  # fmt: skip
    measured = about(server, tokens.tokens["meter"])
    assert measured["counts"]["connections"] == 1
    assert measured.keys() & {"settings", "log"} == set()
    assert about(server, tokens.tokens["root"]).keys() > measured.keys()
