"""``bus namespaces`` against a real server."""

from __future__ import annotations

import json

from tests.cli.stored import on_a_terminal
from tests.conftest import StartServer
from tests.server.support import publish
from tests.support import run_bus


def test_namespaces_are_listed_and_shown(start_server: StartServer) -> None:
    server = start_server(namespaces=["app", "live:memory"])
    publish(server, "app.a", 1)
    listed = run_bus("namespaces", "--host", server.url)
    assert (listed.returncode, listed.stderr) == (0, b"")
    app, live = map(json.loads, listed.stdout.splitlines())
    assert (app["namespace"], app["events"], live["storage"]) == ("app", 1, "memory")
    assert json.loads(run_bus("namespaces", "show", "live", "--host", server.url).stdout) == live
    assert "takes events" in on_a_terminal("namespaces", "--host", server.url)
    shown = on_a_terminal("namespaces", "show", "app", "--host", server.url)
    assert "storage          disk" in shown and "quota            none" in shown


def test_what_is_wrong_is_said(start_server: StartServer) -> None:
    server = start_server()
    unnamed = run_bus("namespaces", "show", "--host", server.url)
    assert unnamed.returncode == 2 and b"needs the NAME" in unnamed.stderr
    unknown = run_bus("namespaces", "show", "nowhere", "--host", server.url)
    assert unknown.returncode == 1 and b"'nowhere' is not declared" in unknown.stderr
