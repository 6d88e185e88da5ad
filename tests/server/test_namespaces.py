"""One namespace over HTTP: what is in it, and who may know."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.access import TokenFile, ask
from tests.server.support import publish
from tests.support import ServerProcess, request

pytestmark = pytest.mark.every_engine


def test_one_namespace_is_shown_as_it_is_listed(server: ServerProcess) -> None:
    publish(server, "app.a", 1)
    listed = msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"]
    one = request(server, "GET", "/v1/namespaces/app")
    assert (one.status, one.headers["content-type"]) == (200, "application/json")
    assert msgspec.json.decode(one.body) in listed
    assert msgspec.json.decode(one.body)["namespace"] == "app"


@pytest.mark.parametrize("name", ["nowhere", "%61pp%20", "_bus_"])
def test_a_namespace_that_is_not_served_is_unknown(server: ServerProcess, name: str) -> None:
    answer = request(server, "GET", f"/v1/namespaces/{name}")
    assert answer.status == 404
    assert b"is not declared on this server" in answer.body


def test_a_refusal_does_not_say_whether_there_is_one(start_server: StartServer, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.toml", None, reader={"subscribe": ["orders.>"]})
    server = start_server(flags=["--auth", str(file.path)])
    there, gone = (ask(server, file.tokens["reader"], "GET", f"/v1/namespaces/{name}") for name in ("app", "abc"))
    assert there.status == gone.status == 403
    assert there.body.replace(b"app", b"abc") == gone.body
