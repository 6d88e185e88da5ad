"""``bus put --delay`` and ``bus schedule`` against a real server."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bus import Client
from tests.cli.stored import on_a_terminal
from tests.conftest import StartServer
from tests.support import ServerProcess, run_bus, subscribe

YEARLY = ("--cron", "0 0 1 1 *")


def _run(server: ServerProcess, *args: str) -> subprocess.CompletedProcess[bytes]:
    return run_bus(*args, "--host", server.url)


def _lines(answer: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    assert (answer.returncode, answer.stderr) == (0, b"")
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_an_event_is_put_for_later(server: ServerProcess) -> None:
    with subscribe(server, "app.a") as stream:
        [receipt] = _lines(_run(server, "put", "--subject", "app.a", "--data", "1", "--delay", "1ms"))
        assert [event.id for event in stream.take(1)] == [receipt["id"]] == [receipt["schedule_id"]]


def test_schedules_are_listed_shown_and_cancelled(server: ServerProcess) -> None:
    put = ("put", "--subject", "app.a", "--data", "[1]")
    [receipt] = _lines(_run(server, *put, "--deliver-at", "2099-01-01T00:00:00Z"))
    assert "scheduled for app.a as s_" in on_a_terminal(*put, "--delay", "1h", "--host", server.url)
    sooner, later = _lines(_run(server, "schedule"))
    assert (later["id"], later["deliver_at"]) == (receipt["schedule_id"], "2099-01-01T00:00:00.000000000Z")
    [shown] = _lines(_run(server, "schedule", "show", later["id"]))
    assert shown == {**later, "payload": [1]}
    assert _lines(_run(server, "schedule", "cancel", later["id"])) == []
    assert _lines(_run(server, "schedule", "list", "--subject", "app.*")) == [sooner]
    again = _run(server, "schedule", "cancel", later["id"])
    assert again.returncode == 1 and b"was delivered or cancelled" in again.stderr


def test_an_event_recurs(server: ServerProcess) -> None:
    add = ("schedule", "add", "report", "--subject", "app.report", "--data", "hello")
    [made] = _lines(_run(server, *add, *YEARLY, "--time-zone", "Europe/Berlin", "--late", "skip"))
    assert (made["id"], made["time_zone"], made["late"]) == ("report", "Europe/Berlin", "skip")
    assert "report: app.report from " in on_a_terminal(*add, *YEARLY, "--host", server.url)
    assert "0 0 1 1 * UTC" in on_a_terminal("schedule", "--host", server.url)
    assert 'payload     "hello"' in on_a_terminal("schedule", "show", "report", "--host", server.url)
    with Client(server.url) as client:
        assert client.schedules.get("report").payload == "hello"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("schedule", "cancel"), b"needs the ID"),
        (("schedule", "add", *YEARLY), b"needs the NAME"),
        (("schedule", "add", "x", "--subject", "app.a"), b"needs --subject and --cron"),
        (("put", "--subject", "app.a", "--data", "1", "--delay", "1s", "--request"), b"don't go together"),
        (("put", "--subject", "app.a", "--data", "1", "--delay", "1s", "--confirm", "1"), b"don't go together"),
        (("put", "--subject", "app.a", "--data", "1", "--delay", "1s", "--deliver-at", "x"), b"don't go together"),
        (("put", "--subject", "app.a", "--file", "x", "--delay", "1s"), b"for a single event"),
    ],
)
def test_wrong_usage_is_said(server: ServerProcess, args: tuple[str, ...], text: bytes) -> None:
    answer = _run(server, *args)
    assert answer.returncode == 2 and text in answer.stderr


def test_a_copy_has_what_is_scheduled_also_under_another_key(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(env={"BUS_SECRET_KEY": "one"})
    with Client(server.url) as client:
        client.put("app.a", "stored")
        client.put("app.a", "scheduled", delay="1h")
        expected = client.schedules.list()
        copied = run_bus(
            "copy", "--from", server.path, "--to", tmp_path / "copy", "--namespace", "app",
            env={"BUS_SRC_SECRET_KEY": "one", "BUS_DST_SECRET_KEY": "two"},
        )  # fmt: skip
        assert copied.returncode == 0, copied.stderr
    with Client(start_server(tmp_path / "copy", env={"BUS_SECRET_KEY": "two"}).url) as client:
        assert client.schedules.list() == expected


def test_a_damaged_schedule_is_named(start_server: StartServer) -> None:
    server = start_server()
    with Client(server.url) as client:
        for _ in range(3):
            client.put("app.a", delay="1h")
    server.stop()
    assert run_bus("verify", "--path", server.path).returncode == 0
    with sqlite3.connect(server.path / "app" / "schedules.db") as database:
        database.execute("UPDATE schedule SET due = due + 1 WHERE rowid = 2")
    database.close()
    verified = run_bus("verify", "--path", server.path)
    assert verified.returncode == 1
    assert b"1 scheduled events are damaged" in verified.stdout + verified.stderr
