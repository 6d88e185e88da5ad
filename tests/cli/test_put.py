"""``bus put`` against a real server."""

from __future__ import annotations

import io
import os
import subprocess
import threading
from pathlib import Path

import msgspec
import pytest

from bus.event import Event
from tests.conftest import StartServer
from tests.support import BUS, PATIENCE, ServerProcess, clean_environment, request, run_bus, subscribe


def _events(server: ServerProcess, pattern: str = "app.>") -> list[Event]:
    with subscribe(server, pattern, start="oldest", follow="false") as stream:
        return [msgspec.json.decode(event.data, type=Event) for event in stream.rest() if event.kind == "msg"]


def _put(server: ServerProcess, *args: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return run_bus("put", *args, "--host", server.url, stdin=stdin)


def test_a_receipt_is_a_line_of_json(server: ServerProcess) -> None:
    put = _put(server, "--subject", "app.test", "--data", '{"hello": "world"}')
    (event,) = _events(server)
    assert msgspec.json.decode(put.stdout) == {"id": event.id, "created_at": event.created_at, "index": 1}
    assert (put.stderr, put.returncode) == (b"", 0)
    assert event.payload == {"hello": "world"}


def test_every_option_reaches_the_event(server: ServerProcess) -> None:
    options = ["--key", "k", "--trace-id", "req-123", "--id", "mine", "--response-subject", "_bus_.inbox"]
    options += ["--ttl", "90m", "--header", "traceparent=00-4b=", "--header", "empty="]
    assert _put(server, "--subject", "app.test", "--data", "test", *options).returncode == 0
    (event,) = _events(server)
    assert event.payload == "test"
    assert (event.id, event.key, event.trace_id, event.response_subject) == ("mine", "k", "req-123", "_bus_.inbox")
    assert (event.headers, event.ttl) == ({"traceparent": "00-4b=", "empty": ""}, "1h30m")


def test_the_host_comes_from_the_environment(server: ServerProcess) -> None:
    put = run_bus("put", "--subject", "app.test", "--data", "1", "--quiet", env={"BUS_HOST": server.url})
    assert (put.returncode, put.stdout) == (0, b"")
    assert [event.payload for event in _events(server)] == [1]


def test_a_person_gets_a_sentence(server: ServerProcess) -> None:
    terminal, end = os.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        command = [*BUS, "put", "--subject", "app.test", "--data", "1", "--host", server.url]
        subprocess.run(command, stdout=end, env=clean_environment(), timeout=PATIENCE, check=True)
        os.close(end)
        assert screen.read(1000).startswith(b"stored in app.test as e_")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--subject", "app", "--data", "1"], "has no dot"),
        (["--subject", "app.*", "--data", "1"], "has a wildcard"),
        (["--subject", "nope.test", "--data", "1"], "nope"),
        (["--subject", "app.test", "--data", "1", "--id", "not an id"], "malformed"),
    ],
)
def test_a_refused_event_is_one_line_and_status_1(bus: ServerProcess, args: list[str], line: str) -> None:
    put = _put(bus, *args)
    assert put.returncode == 1
    assert put.stdout == b""
    assert put.stderr.startswith(b"bus: ")
    assert line in put.stderr.decode()
    assert put.stderr.count(b"\n") == 1


def test_a_key_is_refused_the_second_time(server: ServerProcess) -> None:
    args = ["--subject", "app.test", "--data", "1", "--key", "k"]
    assert _put(server, *args).returncode == 0
    again = _put(server, *args)
    assert (again.returncode, again.stderr) == (1, b"bus: key was processed before\n")


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--subject", "app.test"], "give one of --data, --file and --stdin"),
        (["--subject", "app.test", "--data", "1", "--stdin"], "give one of --data, --file and --stdin"),
        (["--data", "1"], "--data needs --subject"),
        (["--stdin", "--key", "k"], "--key is for a single event, given by --data"),
        (["--file", "f", "--response-subject", "_bus_.x"], "--response-subject is for a single event, given by --data"),
        (
            ["--subject", "a.b", "--data", "1", "--request", "--id", "x"],
            "--request and --id don't go together",
        ),
    ],
)
def test_options_that_do_not_go_together(args: list[str], line: str) -> None:
    put = run_bus("put", *args)
    assert (put.returncode, put.stderr.decode()) == (2, f"bus: {line}; see bus put --help\n")


def test_a_time_out_that_can_not_be_read() -> None:
    put = run_bus("put", "--subject", "app.test", "--data", "1", "--timeout", "5x")
    assert put.returncode == 2
    assert put.stderr == b"bus: --timeout: duration '5x' can't be read: write it like 500ms, 5s or 1m30s\n"


def test_an_unreachable_server_is_one_line() -> None:
    put = run_bus("put", "--subject", "app.test", "--data", "1", "--host", "http://127.0.0.1:9")
    assert put.returncode == 1
    assert put.stderr == (b"bus: can't reach http://127.0.0.1:9: connection refused; is the server running there?\n")


def test_a_host_that_is_no_url() -> None:
    put = run_bus("put", "--subject", "app.test", "--data", "1", "--host", "localhost:2021")
    assert (put.returncode, put.stderr.count(b"\n")) == (2, 1)


# -- lines


def test_lines_are_whole_events(server: ServerProcess) -> None:
    lines = b'{"subject":"app.a","payload":1.10}\n\n{"subject":"orders.b","payload":{"x" : 2},"key":"k"}'
    put = _put(server, "--stdin", stdin=lines)
    assert (put.returncode, put.stderr) == (0, b"")
    assert [msgspec.json.decode(line)["index"] for line in put.stdout.splitlines()] == [1, 1]
    assert [(event.subject, event.payload) for event in _events(server)] == [("app.a", 1.1)]
    assert [(event.payload, event.key) for event in _events(server, "orders.>")] == [({"x": 2}, "k")]


def test_with_a_subject_lines_are_payloads(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "access.log"
    file.write_bytes(b'GET / 200\n{"json": true}\n42\n')
    assert _put(server, "--subject", "app.log", "--file", file, "-q").stdout == b""
    assert [event.payload for event in _events(server)] == ["GET / 200", {"json": True}, 42]


def test_refused_lines_are_named_and_the_others_published(server: ServerProcess) -> None:
    lines = [b'{"subject":"app.a"}', b"{broken", b"", b'{"subject":"nope.b"}', b'{"payload":1}', b'{"subject":"app.c"}']
    put = _put(server, "--file", "-", stdin=b"\n".join(lines))
    assert put.returncode == 1
    assert len(put.stdout.splitlines()) == 2
    numbers = [line.split(b":")[:2] for line in put.stderr.splitlines()]
    assert numbers == [[b"bus", b" line 2"], [b"bus", b" line 4"], [b"bus", b" line 5"]]
    assert [event.subject for event in _events(server)] == ["app.a", "app.c"]


def test_many_lines_in_order(server: ServerProcess) -> None:
    put = _put(server, "--subject", "app.n", "--stdin", stdin=b"".join(b"%d\n" % n for n in range(20_000)))
    assert (put.returncode, put.stderr) == (0, b"")
    assert [msgspec.json.decode(line)["index"] for line in put.stdout.splitlines()] == list(range(1, 20_001))
    assert [event.payload for event in _events(server)] == list(range(20_000))


def test_a_line_is_published_while_the_pipe_stays_open(server: ServerProcess) -> None:
    command = [*BUS, "put", "--subject", "app.live", "--stdin", "--host", server.url]
    with (
        subscribe(server, "app.live") as stream,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean_environment()) as put,
    ):
        assert put.stdin is not None and put.stdout is not None
        for number in range(3):
            put.stdin.write(b"%d\n" % number)
            put.stdin.flush()
            assert b'"payload":%d' % number in stream.take(1)[0].data
            assert msgspec.json.decode(put.stdout.readline())["index"] == number + 1
        put.stdin.close()
        assert put.wait(PATIENCE) == 0


def test_a_lost_server_is_named_with_the_line(start_server: StartServer) -> None:
    server = start_server()
    command = [*BUS, "put", "--subject", "app.live", "--stdin", "--timeout", "300ms", "--host", server.url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=clean_environment()) as put:
        assert put.stdin is not None and put.stdout is not None and put.stderr is not None
        put.stdin.write(b"1\n")
        put.stdin.flush()
        assert put.stdout.readline()
        server.kill()
        put.stdin.write(b"2\n")
        put.stdin.close()
        assert put.stderr.read().startswith(b"bus: stopped at line 2: ")
        assert put.wait(PATIENCE) == 1


def test_a_file_that_is_not_there(bus: ServerProcess) -> None:
    put = _put(bus, "--file", "/nowhere/events.ndjson")
    assert (put.returncode, put.stderr) == (1, b"bus: /nowhere/events.ndjson: No such file or directory\n")


def test_nobody_reads_the_receipts(bus: ServerProcess, subject: str) -> None:
    """Stopping half-way must not look like success."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*BUS, "put", "--subject", subject, "--stdin", "--host", bus.url]
    lines = b"1\n" * 5000
    put = subprocess.run(
        command, input=lines, stdout=writer, stderr=subprocess.PIPE, env=clean_environment(), timeout=PATIENCE
    )
    os.close(writer)
    assert put.returncode == 1
    assert put.stderr.startswith(b"bus: stopped after line ")
    assert put.stderr.count(b"\n") == 1


def test_a_terminal_shows_progress_and_a_sum(server: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(b"1\n" * 3)
    terminal, end = os.openpty()
    command = [*BUS, "put", "--subject", "app.n", "--file", str(file), "--host", server.url]
    put = subprocess.run(command, stdout=subprocess.PIPE, stderr=end, env=clean_environment(), timeout=PATIENCE)
    os.close(end)
    with os.fdopen(terminal, "rb", buffering=0) as screen:
        shown = _everything_on(screen)
    assert len(put.stdout.splitlines()) == 3
    assert str(file).encode() in shown
    assert b"bus: 3 events stored, 0 lines refused" in shown


def _everything_on(screen: io.FileIO) -> bytes:
    shown = b""
    try:
        while data := screen.read(4096):
            shown += data
    except OSError:  # how Linux says that the other end is closed
        pass
    return shown


# -- waiting for others


def test_request_prints_the_reply(server: ServerProcess) -> None:
    def serve() -> None:
        with subscribe(server, "app.add", start="oldest", ack="manual") as stream:
            (event,) = stream.take(1)
            numbers = msgspec.json.decode(event.data)["payload"]
            target = f"/?consumer_id={stream.headers['x-bus-consumer-id']}&event_id={event.id}"
            request(server, "PUT", target, msgspec.json.encode({"result": sum(numbers)}))

    service = threading.Thread(target=serve)
    service.start()
    asked = _put(server, "--subject", "app.add", "--data", "[10, 20]", "--request")
    service.join(PATIENCE)
    assert (asked.returncode, asked.stdout) == (0, b'{"result":30}\n')


def test_a_request_without_an_answer_times_out(bus: ServerProcess, subject: str) -> None:
    asked = _put(bus, "--subject", subject, "--data", "1", "--request", "--timeout", "100ms")
    assert (asked.returncode, asked.stdout) == (1, b"")
    assert asked.stderr.startswith(b"bus: no reply")
    assert asked.stderr.count(b"\n") == 1


def test_confirm_waits_for_a_consumer(server: ServerProcess) -> None:
    short = _put(server, "--subject", "app.c", "--data", "1", "--confirm", "1", "--timeout", "100ms")
    assert short.returncode == 1
    get = [
        *BUS,
        "get",
        "--subject",
        "app.c",
        "--start",
        "oldest",
        "--ack",
        "auto",
        "--limit",
        "2",
        "--host",
        server.url,
    ]
    with subprocess.Popen(get, stdout=subprocess.PIPE, env=clean_environment()) as consumer:
        confirmed = _put(server, "--subject", "app.c", "--data", "2", "--confirm", "1", "--timeout", "20s")
        assert (confirmed.returncode, confirmed.stderr) == (0, b"")
        assert consumer.wait(PATIENCE) == 0


def test_an_event_is_stored_only_if_the_log_ends_where_it_is_expected(server: ServerProcess) -> None:
    def put(*args: str) -> tuple[int, bytes, bytes]:
        done = run_bus("put", "--subject", "app.a", "--data", "1", *args, "--host", server.url)
        return done.returncode, done.stdout, done.stderr

    assert put("--expect-subject", "0")[0] == put("--expect", "1", "--expect-subject", "1")[0] == 0
    status, out, error = put("--expect-subject", "0")
    assert (status, out) == (1, b"") and b"the last index of app.a is 2, not 0" in error
    for wrong in (("--expect", "-1"), ("--expect", "0", "--delay", "1h"), ("--expect-subject", "0", "--request")):
        assert put(*wrong)[0] == 2
    lines = run_bus("put", "--subject", "app.a", "--stdin", "--expect", "0", "--host", server.url)
    assert lines.returncode == 2 and b"--expect is for a single event" in lines.stderr
