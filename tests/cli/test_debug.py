"""``bus debug``: what is there, at a glance and event by event."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.stored import Stored, delivered, fill, on_a_terminal, publish, running
from tests.support import ServerProcess, run_bus


def _debug(stored: Stored, *args: str) -> list[bytes]:
    shown = run_bus("debug", "--path", stored.path, *args, env=stored.env)
    assert (shown.returncode, shown.stderr) == (0, b"")
    return shown.stdout.splitlines()


def test_a_directory_at_a_glance(stored: Stored) -> None:
    app, github, orders = map(json.loads, _debug(stored))
    assert [found["namespace"] for found in (app, github, orders)] == ["app", "github", "orders"]
    assert (app["events"], app["first_index"], app["last_index"]) == (222, 1, 222)
    assert app["sealed"] is bool(stored.env)
    files = [file.name for file in stored.segments()]
    assert [file["file"] for file in app["files"]] == files and app["segments"] == len(files)
    assert app["bytes"] == sum(file.stat().st_size for file in stored.segments())
    assert app["first_time"] <= app["last_time"]
    assert app["subjects"][0] == {"subject": "app.n.0", "events": 67}
    assert (github["events"], github["segments"]) == (0, 0)
    assert {"subject": "orders._dead_.billing", "events": 1} in orders["subjects"]


def test_subjects_are_counted_as_far_as_asked(stored: Stored) -> None:
    [app] = map(json.loads, _debug(stored, "--namespace", "app", "--subjects", "2"))
    assert [subject["subject"] for subject in app["subjects"]] == ["app.n.0", "app.n.1"]
    [app] = map(json.loads, _debug(stored, "--namespace", "app", "--subjects", "0"))
    assert "subjects" not in app


def test_a_server_at_a_glance(server: ServerProcess) -> None:
    fill(server)
    app, _, _ = map(json.loads, run_bus("debug", "--path", server.url, "--subjects", "1").stdout.splitlines())
    assert (app["events"], app["last_index"]) == (222, 222)
    assert app["subjects"] == [{"subject": "app.n.0", "events": 67}]
    assert b"subjects" not in run_bus("debug", "--path", server.url).stdout


def test_a_terminal_gets_tables(stored: Stored) -> None:
    shown = on_a_terminal("debug", "--path", stored.path, "--segments", env=stored.env)
    assert "1 to 222" in shown and "segments of app" in shown
    assert stored.segments()[0].name in shown
    assert "app.n.0" in shown


def test_damage_is_shown(stored: Stored, tmp_path: Path) -> None:
    shutil.copytree(stored.path, tmp_path / "data")
    damaged = Stored(tmp_path / "data", stored.env)
    damaged.segments()[1].unlink()
    [app] = map(json.loads, _debug(damaged, "--namespace", "app"))
    assert ["the segment is missing" in text for text in app["damage"]] == [True]
    assert "damaged: " in on_a_terminal("debug", "--path", damaged.path, env=stored.env)


FILTERS: list[tuple[Sequence[str], object]] = [
    (["--subject", "app.n.*"], lambda event: event["subject"].startswith("app.n.")),
    (
        ["--subject", "app.own", "--subject", "app.n.single"],
        lambda event: event["subject"] in ("app.own", "app.n.single"),
    ),
    (["--subject", "orders._dead_.>"], lambda event: "dead" in event),
    (
        ["--namespace", "app", "--index", "7..9"],
        lambda event: event["subject"][:3] == "app" and 7 <= event["index"] <= 9,
    ),
    (["--namespace", "app", "--index", "220.."], lambda event: event["subject"][:3] == "app" and event["index"] >= 220),
    (["--namespace", "orders,app", "--index", "..2"], lambda event: event["index"] <= 2),
    (["--index", "5"], lambda event: event["index"] == 5),
    (["--until", "2021-01-01T00:00:00Z"], lambda event: event["created_at"] < "2021"),
    (["--since", "2021-01-01T00:00:00Z"], lambda event: event["created_at"] > "2021"),
    (["--since", "52w", "--subject", "app.>"], lambda e: e["created_at"] > "2021" and e["subject"][:3] == "app"),
]


@pytest.mark.parametrize(
    ("args", "taken"), FILTERS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_listing_has_what_its_filters_take(stored: Stored, args: Sequence[str], taken: object) -> None:
    assert callable(taken)
    whole = stored.dump().splitlines()
    assert set(_debug(stored, *args)) == {line for line in whole if taken(json.loads(line))}


@pytest.mark.parametrize(
    "args", [["--subject", "app.n.*"], ["--namespace", "app", "--index", "7..9"], ["--since", "1h"]]
)
def test_a_server_lists_the_same(server: ServerProcess, args: list[str]) -> None:
    fill(server)
    from_server = run_bus("debug", "--path", server.url, *args)
    assert (from_server.returncode, from_server.stderr) == (0, b"")
    assert from_server.stdout == run_bus("debug", "--path", server.path, *args).stdout


def test_a_terminal_gets_a_line_for_each_event(stored: Stored) -> None:
    shown = on_a_terminal("debug", "--path", stored.path, "--subject", "app.own", env=stored.env)
    assert shown == "     221  2020-02-29 11:00:00  app.own                   []\r\n"


@pytest.mark.parametrize("place", ["path", "url"])
def test_following_shows_events_as_they_come(server: ServerProcess, place: str) -> None:
    publish(server, [{"subject": "app.a", "payload": 1}])
    with running("debug", "--path", str(getattr(server, place)), "--subject", "app.>", "--follow") as follow:
        assert follow.stdout is not None
        lines = [follow.stdout.readline()]
        for payload in (2, 3):
            publish(server, [{"subject": "app.a", "payload": payload}])
            lines.append(follow.stdout.readline())
        follow.send_signal(signal.SIGINT)
        assert follow.wait() == 0
    assert b"".join(lines) == delivered(server, "app")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--index", "a..b"], "bus: --index: 'a..b' can't be read: write indexes like 7..9, 7.., ..9 or 7"),
        (["--index", ".."], "bus: --index: '..' can't be read: write indexes like 7..9, 7.., ..9 or 7"),
        (["--index", "9" * 5000], f"bus: --index: '{'9' * 80}' can't be read: write indexes like 7..9, 7.., ..9 or 7"),
        (["--since", "yesterday"], "bus: --since: 'yesterday' is neither a time like"),
        (["--subject", "*.a"], "bus: pattern '*.a' starts with a wildcard"),
        (["--follow"], "bus: --follow is for one namespace"),
    ],
)
def test_wrong_usage_is_one_line(stored: Stored, args: list[str], line: str) -> None:
    answer = run_bus("debug", "--path", stored.path, *args, env=stored.env)
    assert answer.returncode in (1, 2)
    assert answer.stderr.decode().startswith(line) and answer.stderr.count(b"\n") == 1
