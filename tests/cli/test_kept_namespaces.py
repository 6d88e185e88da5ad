"""What was said of namespaces while a server ran: it is copied with their events, checked and shown."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bus import Client
from bus.engine.embedded.namespace_table import KeptNamespace, NamespaceTable, State
from bus.namespace import Compact, Keep, NamespaceSettings, Storage
from tests.cli.stored import Stored, on_a_terminal
from tests.conftest import StartServer
from tests.server.access import TokenFile
from tests.support import ServerProcess, run_bus

BILLING = NamespaceSettings(retention=Keep(age=86400.0), max_bytes=10**9, compact=Compact.KEY)
HELD = {"retention": "1d", "quota": 10**9, "compact": "key", "declared": False}


def say(server: ServerProcess) -> None:
    """Make ``billing`` and ``live``, which is in memory, change ``app``, and publish to all."""
    with Client(server.url) as client:
        client.namespaces.put("billing", retention="1d", max_bytes="1GB", compact="key")
        client.namespaces.put("live", storage="memory")
        client.namespaces.put("app", retention="7d")
        for name in ("app", "billing", "live"):
            client.put(f"{name}.a", 1)


@pytest.fixture
def said(server: ServerProcess) -> Stored:
    say(server)
    server.stop()
    return Stored(server.path)


def copy(source: object, target: object, *args: object, **env: str) -> subprocess.CompletedProcess[bytes]:
    copied = run_bus("copy", "--from", str(source), "--to", str(target), *map(str, args), env=env)
    assert copied.returncode == 0, copied.stderr
    return copied


def rows(path: Path) -> dict[str, KeptNamespace]:
    return dict(NamespaceTable(path / "namespaces.table").rows)


def held(server: ServerProcess, name: str) -> dict[str, Any]:
    """What holds for a namespace of *server*."""
    with Client(server.url) as client:
        found = client.namespaces.get(name)
    return {field: getattr(found, field) for field in HELD}


def test_a_copied_directory_is_served_as_the_first_was(said: Stored, start_server: StartServer, tmp_path: Path) -> None:
    assert copy(said.path, tmp_path / "copy").stderr == b""
    assert rows(tmp_path / "copy") == rows(said.path)
    other = start_server(tmp_path / "copy", namespaces=["app"])
    assert held(other, "billing") == HELD
    assert held(other, "live")["declared"] is False and held(other, "app")["retention"] == "7d"


def test_only_what_is_copied_is_said(said: Stored, tmp_path: Path) -> None:
    copy(said.path, tmp_path / "copy", "--namespace", "billing")
    assert list(rows(tmp_path / "copy").values()) == [KeptNamespace("billing", State.MADE, BILLING)]


def test_what_the_other_directory_says_stays(said: Stored, tmp_path: Path) -> None:
    goal, own = tmp_path / "goal", KeptNamespace("billing", State.MADE, NamespaceSettings(max_bytes=5))
    goal.mkdir()
    NamespaceTable(goal / "namespaces.table").put(own)
    copy(said.path, goal)
    assert rows(goal) == {**rows(said.path), "billing": own}


def test_a_copy_that_fails_says_nothing(said: Stored, tmp_path: Path) -> None:
    goal = tmp_path / "goal"
    copy(said.path, goal, "--namespace", "orders")
    copied = run_bus("copy", "--from", str(said.path), "--to", str(goal), "--namespace", "billing,app")
    assert copied.returncode == 0
    failed = run_bus("copy", "--from", str(said.path), "--to", str(goal), "--namespace", "billing")
    assert failed.returncode == 1 and b"has events already" in failed.stderr
    again = tmp_path / "again"
    copy(said.path, again, "--namespace", "billing")
    (again / "namespaces.table").unlink()
    assert run_bus("copy", "--from", str(said.path), "--to", str(again)).returncode == 1
    assert not list(again.glob("namespaces.*"))


def test_a_log_that_no_server_would_read_is_not_written(said: Stored, tmp_path: Path) -> None:
    for row, line in (
        (KeptNamespace("billing", State.DELETED), b"was deleted in"),
        (KeptNamespace("billing", State.MADE, NamespaceSettings(storage=Storage.MEMORY)), b"is in memory"),
    ):
        goal = tmp_path / row.state
        goal.mkdir()
        NamespaceTable(goal / "namespaces.table").put(row)
        refused = run_bus("copy", "--from", str(said.path), "--to", str(goal))
        assert refused.returncode == 1 and line in refused.stderr
        assert sorted(path.name for path in goal.iterdir()) == ["lock", "namespaces.table"]


def test_what_was_deleted_is_not_read(said: Stored, tmp_path: Path) -> None:
    """Its log may be there in part."""
    NamespaceTable(said.path / "namespaces.table").put(KeptNamespace("billing", State.DELETED))
    assert b'"billing' not in said.dump()
    assert said.verify().returncode == 0
    copy(said.path, tmp_path / "copy")
    assert not (tmp_path / "copy" / "billing").exists() and "billing" not in rows(tmp_path / "copy")


def test_one_in_memory_does_not_hide_a_log(said: Stored, tmp_path: Path) -> None:
    goal = tmp_path / "goal"
    (goal / "live").mkdir(parents=True)
    assert b"live is not copied: it is in memory" in copy(said.path, goal).stderr
    assert "live" not in rows(goal)


def test_a_server_makes_what_it_has_not(said: Stored, start_server: StartServer, tmp_path: Path) -> None:
    other = start_server(tmp_path / "other", namespaces=["app"])
    told = copy(said.path, other.url, "--namespace", "app", "--namespace", "billing").stderr
    assert b"settings of namespace app are not copied" in told and b"billing" not in told
    assert held(other, "billing") == HELD and held(other, "app")["retention"] is None
    with Client(other.url) as client:
        assert [event.payload for event in client.get("billing.>", start="oldest", follow=False)] == [1]


def test_what_a_server_does_not_permit_is_told(said: Stored, start_server: StartServer, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.toml", None, writer={"publish": ["app.>"], "subscribe": ["app.>"]})
    other = start_server(tmp_path / "other", namespaces=["app"], flags=["--auth", str(file.path)])
    ran = run_bus("copy", "--from", said.path, "--to", other.url, env={"BUS_DST_TOKEN": file.tokens["writer"]})
    assert b"namespace billing and its settings are not copied: token writer may not" in ran.stderr, ran.stderr
    assert ran.returncode == 1 and b"is refused" in ran.stderr


def test_from_a_server_what_holds_is_kept(server: ServerProcess, start_server: StartServer, tmp_path: Path) -> None:
    say(server)
    copy(server.url, tmp_path / "copy")
    other = start_server(tmp_path / "copy", namespaces=["app"])
    assert held(other, "billing") == HELD
    with Client(other.url) as client:
        assert client.namespaces.get("live").storage == "disk"
        assert [event.payload for event in client.get("live.>", start="oldest", follow=False)] == [1]


def test_damage_is_found(said: Stored, tmp_path: Path) -> None:
    table = said.path / "namespaces.table"
    table.write_bytes(table.read_bytes().replace(b"1000000000", b"2000000000"))
    checked = said.verify()
    assert checked.returncode == 1
    assert [json.loads(line).get("file") for line in checked.stdout.splitlines()][:1] == [str(table)]
    assert b'"billing.a"' in said.dump()
    shown = run_bus("debug", "--path", said.path)
    assert shown.returncode == 0 and b"is damaged" in shown.stderr
    refused = run_bus("copy", "--from", str(said.path), "--to", str(tmp_path / "copy"))
    assert refused.returncode == 1 and b"is damaged" in refused.stderr


def test_it_is_shown(said: Stored) -> None:
    found = [json.loads(line) for line in run_bus("debug", "--path", said.path).stdout.splitlines()]
    about = {one["namespace"]: (one.get("made", False), one.get("settings")) for one in found}
    kept = {"age": 86400.0, "size": None, "events": None}
    assert about["billing"] == (True, {"retention": kept, "max_bytes": 10**9, "compact": "key"})
    assert about["app"][0] is False and about["app"][1]["retention"]["age"] == 7 * 86400
    assert about["orders"] == (False, None)
    shown = on_a_terminal("debug", "--path", said.path)
    assert "while a server ran" in shown and "1000000000" in shown
