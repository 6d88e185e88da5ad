"""Events of the Go server, into files and directories: exact, and whole, or it is said what is not."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from tests.cli.go_server import GoServer, go_event, go_message, serving
from tests.cli.stored import Stored, delivered
from tests.support import ServerProcess, run_bus

PRETTY = b'{\n  "a": [1,\n    2],\n\n  "text": "one\\ntwo\\r \xc3\xbc: data: x"\n}'
FOLDED = b'{  "a": [1,    2],  "text": "one\\ntwo\\r \xc3\xbc: data: x"}'
ODD = {
    "a subject that we don't take": go_event(2, subject="app.a b"),
    "an id that we don't take": go_event(2).replace(b"e_go2", b"e/go2"),
    "a time out of range": go_event(2).replace(b"2024-", b"0000-"),
    "another namespace": go_event(2, subject="orders.a"),
    "a key that is too long": go_event(2, rare=b',"key":"%b"' % (b"k" * 2000)),
    "no subject": b'{"id":"e_go2"}',
    "no JSON": b"e_go2",
    "text that is not UTF-8": go_event(2, b'"\xff"'),
    "a string over two lines": go_event(2, b'"a\nb"'),
    "nested too deep": go_event(2, b"[" * 300 + b"]" * 300),
}


def _copy(server: GoServer, target: Stored, *args: str) -> subprocess.CompletedProcess[bytes]:
    return run_bus("copy", "--from", server.url, "--to", target.path, "--namespace", "app", *args)


def _go(*events: bytes) -> GoServer:
    return GoServer([go_message(event) for event in events], hangs_up=True)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_a_payload_over_several_lines_arrives_as_it_is(plain: Stored, end: bytes) -> None:
    events = [go_event(1), go_event(2, PRETTY, rare=b',"trace_id":"t","key":"k"'), go_event(3)]
    with serving(GoServer([go_message(event, end=end) for event in events], hangs_up=True)) as server:
        dumped = run_bus("dump", "--path", server.url, "--namespace", "app")
        assert _copy(server, plain).returncode == 0
    assert dumped.stdout.splitlines() == [go_event(1), events[1].replace(b"\n", b""), go_event(3)]
    assert plain.dump().splitlines()[1] == (
        b'{"id":"e_go2","subject":"app.a","payload":%b,"created_at":"2024-05-06T07:08:02.000000000Z","index":2,'
        b'"key":"k","trace_id":"t"}' % FOLDED
    )
    assert plain.verify().returncode == 0


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["LF", "CR", "CRLF"])
def test_its_events_are_printed_a_line_each_until_nothing_comes(end: bytes) -> None:
    with serving(GoServer([go_message(go_event(1, PRETTY), end=end), go_message(go_event(2), end=end)])) as server:
        got = run_bus("get", "--subject", "app.>", "--start", "oldest", "--follow=false", "--host", server.url)
    assert [json.loads(line)["payload"] for line in got.stdout.splitlines()] == [json.loads(PRETTY), 1]
    assert (got.returncode, got.stderr) == (
        0,
        b"bus: the server doesn't tell where its log ends: nothing came for 5s\n",
    )


def test_its_dump_is_restored_and_dumped_to_what_a_copy_gives(plain: Stored, tmp_path: Path) -> None:
    with serving(_go(*(go_event(number, PRETTY) for number in range(1, 700)))) as server:
        run_bus("dump", "--path", server.url, "--namespace", "app", "--output", tmp_path / "go.json")
        assert _copy(server, plain).returncode == 0
    restored = Stored(tmp_path / "restored")
    assert run_bus("restore", "--path", restored.path, "--input", tmp_path / "go.json", "--append").returncode == 0
    assert restored.dump() == plain.dump()
    (tmp_path / "ours.json").write_bytes(plain.dump())
    again = Stored(tmp_path / "again")
    assert run_bus("restore", "--path", again.path, "--input", tmp_path / "ours.json").returncode == 0
    assert again.dump() == plain.dump()


def test_it_goes_into_a_running_server(server: ServerProcess) -> None:
    with serving(_go(go_event(1), go_event(2, PRETTY))) as go:
        copied = run_bus("copy", "--from", go.url, "--to", server.url, "--namespace", "app")
    assert (copied.returncode, copied.stderr) == (0, b"")
    assert [json.loads(line)["id"] for line in delivered(server, "app").splitlines()] == ["e_go1", "e_go2"]


@pytest.mark.parametrize("what", ODD)
def test_an_odd_event_is_named_and_left_out_on_request(plain: Stored, what: str) -> None:
    with serving(_go(go_event(1), ODD[what], go_event(3))) as server:
        refused = _copy(server, plain)
        assert [file.name for file in plain.path.iterdir()] == ["lock"]
        skipped = _copy(server, plain, "--skip-invalid")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1)
    assert b"go2" in refused.stderr and b"; nothing is stored, --skip-invalid leaves" in refused.stderr
    assert skipped.returncode == 0
    assert skipped.stderr.splitlines()[-1] == b"bus: skipped 1 event" and b"go2" in skipped.stderr
    assert [json.loads(line)["id"] for line in plain.dump().splitlines()] == ["e_go1", "e_go3"]
    assert plain.verify().returncode == 0


@pytest.mark.parametrize("what", ["no JSON", "another namespace", "text that is not UTF-8"])
def test_a_dump_holds_events_only(what: str) -> None:
    with serving(_go(go_event(1), ODD[what], go_event(3))) as server:
        refused = run_bus("dump", "--path", server.url, "--namespace", "app")
        skipped = run_bus("dump", "--path", server.url, "--namespace", "app", "--skip-invalid")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1)
    assert (skipped.returncode, skipped.stdout.splitlines()) == (0, [go_event(1), go_event(3)])


def test_a_dump_keeps_what_only_a_log_refuses() -> None:
    event = go_event(2, subject="app.a b")
    with serving(_go(event)) as server:
        assert run_bus("dump", "--path", server.url, "--namespace", "app").stdout == event + b"\n"


def test_a_copy_is_gone_on_with(plain: Stored) -> None:
    with serving(_go(go_event(1), ODD["no subject"])) as server:
        stopped = _copy(server, plain, "--append")
        assert stopped.returncode == 1 and b"those before it are stored" in stopped.stderr
    with serving(_go(go_event(3))) as server:
        assert _copy(server, plain, "--append").returncode == 0
        assert any("start=e_go1" in target for target in server.targets)
    assert [json.loads(line)["index"] for line in plain.dump().splitlines()] == [1, 2]


def test_a_page_that_is_no_stream_is_not_an_empty_log(plain: Stored) -> None:
    class Page(GoServer):
        def answer(self, connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi")

    with serving(Page([])) as server:
        copied = _copy(server, plain)
    assert (copied.returncode, copied.stderr.count(b"\n")) == (1, 1)
    assert b"answered a subscription with text/html: is it a Bus server?" in copied.stderr
