"""``bus dump``, ``bus restore`` and ``bus copy``: what comes out is what went in."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bus import Client
from tests.cli.stored import SECRET, Stored, delivered, fill, give_up, on_a_terminal, publish, running, wait_until
from tests.conftest import StartServer
from tests.support import BUS, ServerProcess, clean_environment, request, run_bus


def _one_line(answer: subprocess.CompletedProcess[bytes], text: str, *, status: int = 1) -> None:
    """It failed with one line on standard error that says *text*."""
    assert answer.returncode == status
    assert text in answer.stderr.decode()
    assert answer.stderr.count(b"\n") == 1 and answer.stderr.startswith(b"bus: ")


def _restore(dump: bytes, target: Stored, *args: str) -> subprocess.CompletedProcess[bytes]:
    return run_bus("restore", "--path", target.path, "--input", "-", *args, stdin=dump, env=target.env)


def _copy(source: object, target: object, *args: str | Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    return run_bus("copy", "--from", str(source), "--to", str(target), *args, env=env)


# -- dump


def test_a_dump_is_what_the_server_delivers(server: ServerProcess) -> None:
    fill(server)
    expected = delivered(server, "app") + delivered(server, "orders")
    assert Stored(server.path).dump() == expected
    assert run_bus("dump", "--path", server.url).stdout == expected
    assert expected.count(b"\n") == 20 + 200 + 30 + 2 + 1


def test_events_that_have_expired_are_kept_by_dumps_and_copies(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    over = {"ttl": "1m", "created_at": "2026-01-31T12:00:00Z"}
    events = (
        {"subject": f"app.{name}", "payload": 1, **fields} for name, fields in (("b", over), ("a", {}), ("c", over))
    )
    publish(server, list(events))
    dump = run_bus("dump", "--path", server.url).stdout
    assert dump.count(b'"ttl":"1m"') == 2 and dump == Stored(server.path).dump()
    copies = [Stored(tmp_path / name) for name in ("restored", "copied", "fetched")]
    assert _restore(dump, copies[0]).returncode == 0
    assert _copy(server.path, copies[1].path).returncode == 0
    assert _copy(server.url, copies[2].path).returncode == 0
    assert [copy.dump() for copy in copies] == [dump] * 3
    for copy in copies:
        copied = start_server(path=copy.path)
        sent = request(copied, "GET", "/?subject=app.>&start=oldest&follow=false", Accept="application/x-ndjson").body
        assert sent == dump.splitlines(keepends=True)[1], "nor does a copy deliver them"


def test_one_namespace_alone(stored: Stored) -> None:
    whole, orders = stored.dump(), stored.dump("--namespace", "orders")
    assert orders == b"".join(line for line in whole.splitlines(keepends=True) if b'"subject":"orders.' in line)
    wrong = run_bus("dump", "--path", stored.path, "--namespace", "ordres", env=stored.env)
    _one_line(wrong, "namespace 'ordres' is not in")


def test_a_file_gets_its_name_when_it_is_whole(stored: Stored, tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    file.write_text("an older dump")
    assert stored.dump("--output", str(file)) == b""
    assert file.read_bytes() == stored.dump()
    assert list(tmp_path.iterdir()) == [file]


def test_dumping_while_the_server_writes_gives_a_prefix(server: ServerProcess) -> None:
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            publish(server, [{"subject": "app.n", "payload": "x" * 100}] * 50)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        dumps = [Stored(server.path).dump() for _ in range(3)]
    finally:
        ended.set()
        writer.join()
    last = delivered(server, "app")
    assert all(last.startswith(dump) for dump in dumps)
    assert dumps[-1] > b""


def test_a_reader_that_has_enough_ends_it_quietly(stored: Stored) -> None:
    command = [*BUS, "dump", "--path", str(stored.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=clean_environment(**stored.env)) as dump:
        assert dump.stdout is not None and dump.stderr is not None
        dump.stdout.close()
        assert (dump.wait(), dump.stderr.read()) == (0, b"")


def test_a_terminal_is_told_how_fast_it_went(stored: Stored, tmp_path: Path) -> None:
    shown = on_a_terminal("dump", "--path", stored.path, "--output", tmp_path / "events.json", env=stored.env)
    assert re.search(r"bus: dumped 253 events in \S+, [\d,]+/s", shown)


# -- restore


def test_a_restored_dump_dumps_to_the_same_bytes(stored: Stored, plain: Stored, tmp_path: Path) -> None:
    dump = stored.dump()
    encrypted = Stored(tmp_path / "encrypted", {"BUS_SECRET_KEY": "another", "BUS_BLOCK_SIZE": "1024"})
    for target in (plain, encrypted):
        assert _restore(dump, target).returncode == 0
        assert target.dump() == dump
        assert target.verify().returncode == 0
    assert not any(b"single" in file.read_bytes() for file in encrypted.path.rglob("*") if file.is_file())


def test_a_server_goes_on_from_a_restored_directory(stored: Stored, plain: Stored, start_server: StartServer) -> None:
    dump = stored.dump()
    _restore(dump, plain)
    server = start_server(plain.path)
    assert delivered(server, "app") + delivered(server, "orders") == dump
    again = request(server, "POST", "/", b'{"subject":"orders.paid","key":"order-7"}')
    assert (again.status, again.headers["x-bus-event-index"]) == (409, "8")
    target = "/?subject=app.>&follow=false&start=my-own-id"
    [after] = request(server, "GET", target, Accept="application/x-ndjson").body.splitlines()
    assert json.loads(after)["subject"] == "app.später"
    publish(server, [{"subject": "app.next"}])
    assert json.loads(delivered(server, "app").splitlines()[-1])["index"] == 223


def test_a_log_that_begins_late_is_kept_so(stored: Stored, plain: Stored) -> None:
    late = b"".join(stored.dump("--namespace", "app").splitlines(keepends=True)[100:])
    assert _restore(late, plain).returncode == 0
    assert plain.dump() == late


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"{", "line 3: the body is not JSON"),
        (b'{"subject":"nodot"}', "line 3: subject 'nodot' has no dot"),
        (b'{"subject":"app.a","payload":1}', "line 3: the event lacks an id, a time or an index"),
        (b'{"subject":"app.a","index":1,"later":1}', "line 3: field 'later' is not for an event"),
        (
            b'{"id":"e","subject":"app.a","created_at":"2020-01-01T00:00:00Z","index":9}',
            "line 3: index 9 comes where 3",
        ),
        (b'{"id":"e","subject":"app.a","created_at":"yesterday","index":3}', "line 3: time 'yesterday' can't be read"),
        (b'{"id":"e","subject":"_bus_.a","created_at":"2020-01-01T00:00:00Z","index":3}', "_bus_ is reserved"),
        (b'{"id":"e","subject":"app.a","created_at":"2020-01-01T00:00:00Z","index":3,"payload":"\xff"}', "not UTF-8"),
    ],
)
def test_a_line_that_is_wrong_is_named_and_nothing_is_kept(line: bytes, text: str, plain: Stored) -> None:
    event = b'{"id":"e%d","subject":"app.a","payload":1,"created_at":"2020-01-01T00:00:00Z","index":%d}\n'
    refused = _restore(event % (1, 1) + event % (2, 2) + line, plain)
    _one_line(refused, text, status=refused.returncode)
    assert refused.returncode in (1, 2)
    assert [file.name for file in plain.path.iterdir()] == ["lock"]


def test_what_has_events_is_not_restored_into(stored: Stored, plain: Stored) -> None:
    dump = stored.dump()
    _restore(dump, plain)
    _one_line(_restore(dump, plain), "has events already: choose an empty directory")
    assert plain.dump() == dump


def test_appended_events_get_new_indexes_and_keep_the_rest(stored: Stored, plain: Stored) -> None:
    dump = stored.dump("--namespace", "app")
    _restore(dump, plain)
    assert _restore(dump + b'{"subject":"app.bare"}\n', plain, "--append").returncode == 0
    lines = [json.loads(line) for line in plain.dump().splitlines()]
    assert [line.pop("index") for line in lines] == [*range(1, 2 * 222 + 2)]
    assert lines[:222] == lines[222:-1]
    assert lines[-1]["subject"] == "app.bare" and lines[-1]["id"].startswith("e_") and lines[-1]["created_at"]


def test_a_directory_in_use_is_not_restored_into(server: ServerProcess) -> None:
    _one_line(_restore(b"", Stored(server.path)), f"{server.path} is in use by process")


def test_a_restore_that_is_interrupted_leaves_nothing(stored: Stored, plain: Stored) -> None:
    with running("restore", "--path", plain.path, "--input", "-") as restore:
        assert restore.stdin is not None and restore.stderr is not None
        restore.stdin.write(stored.dump())
        restore.stdin.flush()
        wait_until((plain.path / "app.partial").exists)
        restore.send_signal(signal.SIGINT)
        assert restore.wait() == 1
        assert b"interrupted" in restore.stderr.read()
    assert [file.name for file in plain.path.iterdir()] == ["lock"]


def test_what_a_killed_restore_left_is_in_nobodys_way(stored: Stored, plain: Stored) -> None:
    with running("restore", "--path", plain.path, "--input", "-") as restore:
        assert restore.stdin is not None
        restore.stdin.write(stored.dump())
        restore.stdin.flush()
        wait_until((plain.path / "app.partial").exists)
    _one_line(run_bus("dump", "--path", plain.path), "has no namespaces")
    assert _restore(stored.dump(), plain).returncode == 0
    assert plain.dump() == stored.dump()


def test_into_a_server_ids_times_and_keys_are_kept(stored: Stored, server: ServerProcess) -> None:
    dump = stored.dump()
    publish(server, [{"subject": "app.before"}])
    restored = run_bus("restore", "--path", server.url, "--input", "-", stdin=dump)
    assert (restored.returncode, restored.stderr) == (0, b"bus: 1 dead letters are left out: a server writes its own\n")
    sent = [json.loads(line) for line in dump.splitlines() if b"_dead_" not in line]
    got = [json.loads(line) for line in (delivered(server, "app") + delivered(server, "orders")).splitlines()[1:]]
    assert [event.pop("index") for event in got] == [*range(2, 224), *range(1, 31)]
    assert got == [{name: value for name, value in event.items() if name != "index"} for event in sent]


def test_what_a_server_refuses_is_named(stored: Stored, server: ServerProcess) -> None:
    publish(server, [{"subject": "orders.paid", "key": "order-3"}])
    restored = run_bus("restore", "--path", server.url, "--input", "-", stdin=stored.dump("--namespace", "orders"))
    assert restored.returncode == 1
    assert b"is refused: key was processed before" in restored.stderr
    assert delivered(server, "orders").count(b"\n") == 30


# -- copy


def test_a_copy_dumps_to_the_same_bytes(stored: Stored, plain: Stored) -> None:
    env = {f"BUS_SRC_{name[4:]}": value for name, value in stored.env.items()}
    assert _copy(stored.path, plain.path, **env).returncode == 0
    assert plain.dump() == stored.dump()
    assert plain.verify().returncode == 0
    _one_line(_copy(stored.path, plain.path, **env), "has events already")


def test_keys_are_rotated(stored: Stored, tmp_path: Path, start_server: StartServer) -> None:
    """Also what finds an event by an id of its own is keyed, and comes along."""
    old, new = tmp_path / "old.key", tmp_path / "new.key"
    old.write_text(stored.env.get("BUS_SECRET_KEY", ""))
    new.write_text("a new one\n")
    source = ["--src-secret-key-file", str(old)] if stored.env else []
    rotated = Stored(tmp_path / "rotated", {"BUS_SECRET_KEY_FILE": str(new)})
    assert _copy(stored.path, rotated.path, *source, "--dst-secret-key-file", new).returncode == 0
    assert rotated.dump() == stored.dump()
    assert rotated.verify().returncode == 0
    wrong = run_bus("dump", "--path", rotated.path, env={"BUS_SECRET_KEY": SECRET})
    _one_line(wrong, "was encrypted with another secret key")
    server = start_server(rotated.path, env=rotated.env)
    target = "/?subject=app.>&follow=false&start=my-own-id"
    assert request(server, "GET", target, Accept="application/x-ndjson").body.count(b"\n") == 1


def test_a_copy_of_a_directory_in_use_has_its_consumers(
    server: ServerProcess, start_server: StartServer, tmp_path: Path
) -> None:
    publish(server, [{"subject": "orders.paid", "payload": number} for number in range(10)])
    give_up(server)
    server.stop()
    server.restart()
    assert _copy(server.path, tmp_path / "copy", BUS_DST_SECRET_KEY=SECRET).returncode == 0
    other = start_server(tmp_path / "copy", env={"BUS_SECRET_KEY": SECRET})
    [consumer] = json.loads(request(other, "GET", "/v1/consumers").body)["consumers"]
    assert (consumer["name"], consumer["dead"]) == ("billing", 1)
    with (
        Client(other.url) as client,
        client.get("orders.*", ack="manual", consumer="billing", timeout=20) as events,
    ):
        assert next(events).payload == 4


def test_from_a_server_indexes_are_kept(server: ServerProcess, plain: Stored) -> None:
    fill(server)
    assert _copy(server.url, plain.path).returncode == 0
    assert plain.dump() == delivered(server, "app") + delivered(server, "orders")
    assert plain.verify().returncode == 0


def test_into_a_server(stored: Stored, server: ServerProcess) -> None:
    env = {f"BUS_SRC_{name[4:]}": value for name, value in stored.env.items()}
    assert _copy(stored.path, server.url, **env).returncode == 0
    assert delivered(server, "app") == stored.dump("--namespace", "app")


# -- from a server of another kind


class OtherServer:
    """A server of the same protocol that is not ours: it tells neither namespaces nor the end of its log."""

    EVENT = (
        b'id: e-1\nevent: msg\ndata: {"id":"e-1","key":"","subject":"app.a","payload":{"a": 1},'
        b'"created_at":"2024-05-06T07:08:09.5Z","index":0}\n\n'
    )

    def __init__(self, *, hangs_up: bool) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._hangs_up = hangs_up
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with ExitStack() as held:
            while True:
                try:
                    connection, _ = self._listener.accept()
                except OSError:
                    return
                held.enter_context(connection)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if b"subject=app" not in connection.recv(65536).split(b"\r\n")[0]:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 7\r\n\r\nsubject")
            return
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + self.EVENT)
        if self._hangs_up:
            connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


@contextmanager
def _other_server(*, hangs_up: bool) -> Iterator[OtherServer]:
    server = OtherServer(hangs_up=hangs_up)
    try:
        yield server
    finally:
        server.close()


def test_its_events_get_new_indexes_and_our_form(plain: Stored) -> None:
    with _other_server(hangs_up=True) as other:
        _one_line(_copy(other.url, plain.path), "doesn't tell its namespaces: name them by --namespace", status=2)
        assert _copy(other.url, plain.path, "--namespace", "app").returncode == 0
    assert plain.dump() == (
        b'{"id":"e-1","subject":"app.a","payload":{"a": 1},"created_at":"2024-05-06T07:08:09.500000000Z","index":1}\n'
    )


@pytest.mark.parametrize("interrupted", [True, False])
def test_its_log_ends_in_silence_or_at_an_interruption(plain: Stored, interrupted: bool) -> None:
    with (
        _other_server(hangs_up=False) as other,
        running("copy", "--from", other.url, "--to", plain.path, "--namespace", "app") as copy,
    ):
        if interrupted:
            wait_until((plain.path / "app.partial").exists)
            copy.send_signal(signal.SIGINT)
        assert copy.wait() == 0
    assert plain.dump().count(b"\n") == 1


def test_an_interrupted_dump_leaves_no_file(tmp_path: Path) -> None:
    with (
        _other_server(hangs_up=False) as other,
        running("dump", "--path", other.url, "--namespace", "app", "--output", tmp_path / "events.json") as dump,
    ):
        wait_until((tmp_path / "events.json.partial").exists)
        dump.send_signal(signal.SIGINT)
        assert dump.wait() == 1
    assert list(tmp_path.iterdir()) == []


# -- what goes wrong before anything is done


@pytest.mark.parametrize("command", ["dump", "verify", "debug"])
def test_a_wrong_path_or_key_is_one_line(command: str, stored: Stored, tmp_path: Path) -> None:
    _one_line(run_bus(command, "--path", tmp_path / "nowhere"), "there is no data directory")
    _one_line(run_bus(command, "--path", tmp_path), "has no namespaces")
    expected = "was encrypted with another secret key" if stored.env else "is not encrypted, but a secret key was given"
    _one_line(run_bus(command, "--path", stored.path, env={"BUS_SECRET_KEY": "wrong"}), expected)
    if stored.env:
        _one_line(run_bus(command, "--path", stored.path), "is encrypted: give the secret key")


def test_an_unreachable_server_is_one_line() -> None:
    for args in (["dump", "--path"], ["restore", "--input", "/dev/null", "--path"], ["debug", "--path"]):
        _one_line(run_bus(*args, "http://127.0.0.1:1"), "can't reach http://127.0.0.1:1")


def test_a_key_on_the_command_line_is_warned_about(stored: Stored, plain: Stored) -> None:
    copied = _copy(stored.path, plain.path, "--src-secret-key", SECRET)
    assert b"bus: --src-secret-key shows in the list of processes" in copied.stderr
    assert SECRET.encode() not in copied.stderr
