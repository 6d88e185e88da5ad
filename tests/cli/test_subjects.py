"""``bus subjects`` against a real server."""

from __future__ import annotations

import json

from tests.cli.stored import on_a_terminal
from tests.server.support import stored
from tests.support import ServerProcess, run_bus


def test_subjects_are_listed(server: ServerProcess) -> None:
    for name in ("listed.b", "listed.a", "listed.b"):
        stored(server, f"app.{name}")
    answer = run_bus("subjects", "app.listed.*", "--host", server.url)
    assert (answer.returncode, answer.stderr) == (0, b"")
    first, second = map(json.loads, answer.stdout.splitlines())
    assert (first["subject"], first["events"]) == ("app.listed.a", 1)
    assert (second["subject"], second["events"]) == ("app.listed.b", 2)
    table = on_a_terminal("subjects", "app.listed.*", "--host", server.url)
    assert "last index" in table and "app.listed.b" in table
    assert run_bus("subjects", "app.listed.*", "--limit", "1", "--host", server.url).stdout.count(b"\n") == 1


def test_a_pattern_is_required(server: ServerProcess) -> None:
    assert run_bus("subjects", "--host", server.url).returncode == 2


def test_events_begin_with_the_newest_of_each_subject(server: ServerProcess) -> None:
    ids = [stored(server, f"app.newest.{name}") for name in "aba"]
    answer = run_bus("get", "--subject", "app.newest.*", "--start", "last", "--follow=false", "--host", server.url)
    assert [json.loads(line)["id"] for line in answer.stdout.splitlines()] == ids[1:]
