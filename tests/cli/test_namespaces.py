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


def test_a_namespace_is_made_changed_and_deleted(start_server: StartServer) -> None:
    server = start_server()

    def namespaces(*args: str) -> tuple[int, str]:
        ran = run_bus("namespaces", *args, "--host", server.url)
        return ran.returncode, (ran.stdout + ran.stderr).decode()

    def shown(name: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(namespaces("show", name)[1])
        return found

    assert namespaces("add", "billing", "--retention", "30d") == (0, "")
    assert namespaces("edit", "billing", "--quota", "20GB") == (0, "")
    assert (shown("billing")["retention"], shown("billing")["quota"]) == ("30d", 20 * 10**9)
    assert namespaces("add", "live", "--memory") == (0, "")
    assert shown("live")["storage"] == "memory"
    status, said = namespaces("add", "billing")
    assert status == 1 and "is there already: bus namespaces edit billing" in said
    status, said = namespaces("edit", "biling", "--quota", "1GB")
    assert status == 1 and "'biling' is not declared" in said
    status, said = namespaces("delete", "billing")
    assert status == 2 and "give --yes" in said
    assert namespaces("delete", "billing", "--yes") == (0, "")
    status, said = namespaces("show", "billing", "--yes")
    assert status == 2 and "--yes goes with delete" in said
    assert namespaces("show", "billing")[0] == 1
