"""What a server knows of subjects: over pages, deletions, restarts, with and without a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from bus.engine.embedded.subjects.file import SUBJECTS_FILE
from tests.conftest import StartServer
from tests.server.access import TokenFile, ask
from tests.server.support import draft, refusal, stored
from tests.support import ServerProcess, request


def listing(server: ServerProcess, match: str, **about: Any) -> dict[str, Any]:
    answer = request(server, "GET", f"/v1/subjects?{urlencode({'match': match, **about})}")
    assert answer.status == 200, answer.body
    found: dict[str, Any] = json.loads(answer.body)
    return found


def counts(server: ServerProcess, match: str) -> dict[str, tuple[int, int]]:
    return {row["subject"]: (row["events"], row["last_index"]) for row in listing(server, match)["subjects"]}


@pytest.mark.every_engine
def test_subjects_are_counted(bus: ServerProcess, subject: str) -> None:
    for name in ("b", "a.x", "b", "é"):
        stored(bus, f"{subject}.{name}")
    found = listing(bus, f"{subject}.>")["subjects"]
    assert [(row["subject"], row["events"]) for row in found] == [
        (f"{subject}.a.x", 1), (f"{subject}.b", 2), (f"{subject}.é", 1),
    ]  # fmt: skip
    newest, of_b, of_e = (row["last_index"] for row in found)
    assert (of_b, of_e) == (newest + 1, newest + 2)
    assert found == sorted(found, key=lambda row: row["subject"].encode())
    assert all(row["last_time"].endswith("Z") for row in found)
    assert [row["subject"] for row in listing(bus, f"{subject}.*")["subjects"]] == [f"{subject}.b", f"{subject}.é"]


@pytest.mark.every_engine
def test_pages_follow_each_other(bus: ServerProcess, subject: str) -> None:
    names = [f"{subject}.n{number}" for number in range(5)]
    for name in names:
        stored(bus, name)
    found, after = [], ""
    while True:
        page = listing(bus, f"{subject}.>", limit=2, after=after)
        found += [row["subject"] for row in page["subjects"]]
        if not (after := page.get("next", "")):
            break
    assert found == names


@pytest.mark.parametrize(
    ("query", "status", "why"),
    [
        ("", 400, "match is required"),
        ("match=app", 400, "no dot"),
        ("match=nowhere.>", 404, "not declared"),
        ("match=app.>&limit=0", 400, "limit"),
        ("match=app.>&limit=1001", 400, "limit"),
    ],
)
def test_what_cannot_be_listed_is_refused(server: ServerProcess, query: str, status: int, why: str) -> None:
    found = refusal(request(server, "GET", f"/v1/subjects?{query}"))
    assert found[0] == status and why in str(found)


def test_only_what_may_be_read_is_listed(tmp_path: Path, start_server: StartServer) -> None:
    file = TokenFile(tmp_path / "tokens.toml", None, reader={"subscribe": ["app.a.*"]}, root={"admin": True})
    server = start_server(flags=["--auth", str(file.path)])
    for name in ("a.x", "b"):
        assert ask(server, file.tokens["root"], "POST", "/", draft(f"app.{name}")).status == 202
    assert ask(server, file.tokens["reader"], "GET", "/v1/subjects?match=app.>").status == 403
    answer = ask(server, file.tokens["reader"], "GET", "/v1/subjects?match=app.a.*")
    assert answer.status == 200 and b'"app.a.x"' in answer.body


@pytest.mark.parametrize("flags", [[], ["--secret-key", "k"], ["--namespaces", "app,live:memory"]])
def test_deleted_events_do_not_count(start_server: StartServer, flags: list[str]) -> None:
    server = start_server(flags=flags)
    name = "live" if "--namespaces" in flags else "app"
    ids = [stored(server, f"{name}.{letter}") for letter in "abab"]
    assert request(server, "DELETE", f"/v1/events/{ids[3]}").status == 200
    assert counts(server, f"{name}.>") == {f"{name}.a": (2, 3), f"{name}.b": (1, 2)}
    assert request(server, "DELETE", f"/v1/events?subject={name}.a").status == 200
    assert counts(server, f"{name}.>") == {f"{name}.b": (1, 2)}


@pytest.mark.parametrize("flags", [[], ["--secret-key", "k"]])
@pytest.mark.parametrize("how", ["stopped", "killed", "without the file", "damaged"])
def test_they_are_counted_over_a_restart(tmp_path: Path, start_server: StartServer, how: str, flags: list[str]) -> None:
    server = start_server(path=tmp_path / "data", flags=flags)
    for letter in "abacada":
        stored(server, f"app.{letter}")
    before = listing(server, "app.>")
    if how == "killed":
        server.kill()
    else:
        server.stop()
    file = tmp_path / "data" / "app" / SUBJECTS_FILE
    assert file.exists() != bool(flags)
    if file.exists() and how == "without the file":
        file.unlink()
    elif file.exists() and how == "damaged":
        file.write_bytes(file.read_bytes()[:-4000] + bytes(4000))
    assert listing(start_server(path=tmp_path / "data", flags=flags), "app.>") == before


def test_no_subject_is_on_the_disk_in_clear(tmp_path: Path, start_server: StartServer) -> None:
    server = start_server(path=tmp_path / "data", flags=["--secret-key", "k"])
    stored(server, "app.confidential")
    assert counts(server, "app.>") == {"app.confidential": (1, 1)}
    server.stop()
    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file()]
    assert files and not any(b"confidential" in file.read_bytes() for file in files)
