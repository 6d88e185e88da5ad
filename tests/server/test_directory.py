"""The files of a data directory: what isn't as it should be is named in a line, at the start and while serving."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.server.support import publish, refusal, stored, with_limits
from tests.support import ServerProcess, request, run_bus, subscribe

SEGMENT = f"app/{1:020}.log"
SIDECAR = f"app/{1:020}.idx"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a server that was stopped: two segments and a durable consumer."""
    path = tmp_path_factory.mktemp("kept") / "data"
    server = ServerProcess(path, namespaces=("app",), flags=["--segment-size", "8KB"])
    for _ in range(10):
        stored(server, "app.a", "x" * 1000)
    with subscribe(server, "app.a", ack="manual", consumer="c"):
        pass
    assert server.stop() == 0
    yield path


def _gone(place: Path) -> None:
    place.unlink(missing_ok=True)


def _directory(place: Path) -> None:
    _gone(place)
    place.mkdir()


def _link(place: Path) -> None:
    target = place.with_name("precious")
    if place.exists():
        place.rename(target)
    else:
        target.write_text("precious\n")
    place.symlink_to(target)


def _dangling(place: Path) -> None:
    _gone(place)
    place.symlink_to("/nowhere/at/all")


def _pipe(place: Path) -> None:
    _gone(place)
    os.mkfifo(place)


def _file(place: Path) -> None:
    shutil.rmtree(place)
    place.write_text("x")


def _start(path: Path) -> tuple[int, str]:
    done = run_bus("server", "--path", path, "--namespaces", "app", "--addr", "127.0.0.1:0")
    return done.returncode, done.stderr.decode()


OTHERS = [(_directory, "is a directory"), (_link, "is a symbolic link"), (_dangling, "is a symbolic link"),
          (_pipe, "is a pipe")]  # fmt: skip


@pytest.mark.parametrize("name", ["lock", "consumers.db", "consumers.db-wal", SEGMENT, SIDECAR])
@pytest.mark.parametrize(("damage", "what"), OTHERS)
def test_what_is_no_file_is_named_and_left_alone(
    kept: Path, tmp_path: Path, name: str, damage: Callable[[Path], None], what: str
) -> None:
    path = tmp_path / "data"
    shutil.copytree(kept, path)
    target = (path / name).with_name("precious")
    damage(path / name)
    before = target.read_bytes() if damage is _link else b""
    status, said = _start(path)
    assert (status, said.count("\n")) == (1, 1), said
    assert f"{path / name} {what}" in said
    assert damage is not _link or target.read_bytes() == before


@pytest.mark.parametrize(("name", "damage", "said"), [
    ("lock", lambda place: place.write_bytes(b"\xff\xfe" * 20), ""),
    ("consumers.db", lambda place: place.write_bytes(b"no database" * 100), "consumers.db can't be opened"),
    (SEGMENT, lambda place: place.write_bytes(b""), ""),
    (SIDECAR, lambda place: place.write_bytes(b"\xff" * 50), ""),
    ("app", _file, "can't be"),
    ("app/notes", _directory, ""),
    ("notes", _link, ""),
])  # fmt: skip
@pytest.mark.parametrize("command", ["verify", "debug", "dump"])
def test_commands_and_servers_answer_damage_with_a_line(
    kept: Path, tmp_path: Path, command: str, name: str, damage: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "data"
    shutil.copytree(kept, path)
    damage(path / name)
    done = run_bus(command, "--path", path)
    assert done.returncode in (0, 1)
    assert b"Traceback" not in done.stderr
    if said and command == "verify":
        status, line = _start(path)
        assert (status, said in line or "exists" in line, line.count("\n")) == (1, True, 1), line


def test_a_lock_with_other_bytes_names_nobody(server: ServerProcess) -> None:
    (server.path / "lock").write_bytes(b"\xff\xfe")
    status, said = _start(server.path)
    assert (status, said.count("\n")) == (1, 1)
    assert "is in use by process unknown" in said


def _remove(path: Path) -> None:
    shutil.rmtree(path)


def _replace(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    shutil.copytree(path.with_name("elsewhere"), path)


def _remove_one(path: Path) -> None:
    (path / "app").rename(path / "old")


@pytest.mark.parametrize("harm", [_remove, _replace, _remove_one])
def test_a_directory_that_is_taken_away_stops_publishing(server: ServerProcess, harm: Callable[[Path], None]) -> None:
    stored(server, "app.a")
    harm(server.path)
    status, text = refusal(request(server, "GET", "/readyz"))
    assert (status, "while the server used it" in text) == (503, True), text
    assert publish(server, "app.a").status == 503
    assert request(server, "GET", "/healthz").status == 200


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_it_is_noticed_without_anybody_asking(start_server: StartServer, fsync: str) -> None:
    server = start_server(wrapper=with_limits(RETENTION_SECONDS=0.1), flags=["--fsync", fsync])
    stored(server, "app.a")
    shutil.rmtree(server.path)
    if fsync == "always":
        assert publish(server, "app.a").status == 503, "the very next event isn't promised"
    server.wait_for_log("while the server used it")
    assert publish(server, "app.a").status == 503
