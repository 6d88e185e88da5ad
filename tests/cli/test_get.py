"""``bus get`` and ``bus ack`` against a real server."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from tests.support import BUS, PATIENCE, ServerProcess, clean_environment, request, run_bus


def _publish(server: ServerProcess, *bodies: bytes) -> None:
    for body in bodies:
        assert request(server, "POST", "/", body).status == 202


def _numbers(server: ServerProcess, count: int) -> None:
    _publish(server, *(b'{"subject":"app.n","payload":%d}' % number for number in range(1, count + 1)))


def _payloads(output: bytes) -> list[object]:
    return [msgspec.json.decode(line)["payload"] for line in output.splitlines()]


def _get(server: ServerProcess, *args: str) -> subprocess.CompletedProcess[bytes]:
    return run_bus("get", *args, "--host", server.url)


@contextmanager
def _following(server: ServerProcess, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    """``bus get`` that runs until the block ends."""
    command = [*BUS, "get", *args, "--host", server.url]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=clean_environment()) as get:
        try:
            yield get
        finally:
            get.kill()


def _line(get: subprocess.Popen[bytes]) -> bytes:
    assert get.stdout is not None
    return get.stdout.readline()


def test_lines_are_the_bytes_the_server_sends(server: ServerProcess) -> None:
    _publish(
        server,
        b'{"subject":"app.a","payload":{"b" : 1.10,\n "a":"\\u00fc\\/"}}',
        '{"subject":"app.ü","payload":"ü","key":"\\"k\\"","trace_id":"t","response_subject":"_bus_.i"}'.encode(),
        b'{"subject":"app.h","headers":{"a":"\\u00fc\\/","B":""}}',
        b'{"subject":"app.c"}',
    )
    target = "/?subject=app.>&start=oldest&follow=false"
    sent = request(server, "GET", target, Accept="application/x-ndjson").body
    get = _get(server, "--subject", "app.>", "--start", "oldest", "--follow=false")
    assert get.stdout == sent
    assert len(sent.splitlines()) == 4


@pytest.mark.parametrize("end", [["--follow=false"], ["--no-follow"], ["--limit", "3"], ["--follow", "false"]])
def test_it_ends_where_it_is_told(server: ServerProcess, end: list[str]) -> None:
    _numbers(server, 3)
    get = _get(server, "--subject", "app.*", "--start", "oldest", *end)
    assert (get.returncode, get.stderr) == (0, b"")
    assert _payloads(get.stdout) == [1, 2, 3]


def test_several_patterns_and_a_start_in_the_middle(server: ServerProcess) -> None:
    _numbers(server, 2)
    _publish(server, b'{"subject":"app.x.y","payload":3}', b'{"subject":"app.z","payload":4}')
    get = _get(server, "--subject", "app.n", "--subject", "app.x.>", "--start", "2", "--no-follow")
    assert _payloads(get.stdout) == [2, 3]


def test_following_goes_on_through_a_crash_of_the_server(server: ServerProcess) -> None:
    with _following(server, "--subject", "app.>", "--start", "oldest") as get:
        _numbers(server, 1)
        assert _payloads(_line(get)) == [1]
        server.kill()
        server.restart()
        _publish(server, b'{"subject":"app.n","payload":2}')
        assert _payloads(_line(get)) == [2]


def test_ctrl_c_ends_it_quietly(server: ServerProcess) -> None:
    with _following(server, "--subject", "app.>", "--start", "oldest") as get:
        _numbers(server, 1)
        assert _line(get)
        get.send_signal(signal.SIGINT)
        rest, complaints = get.communicate(timeout=PATIENCE)
        assert (get.returncode, rest, complaints) == (0, b"", b"")


def test_a_closed_pipe_ends_it_quietly(server: ServerProcess) -> None:
    with _following(server, "--subject", "app.>", "--start", "oldest") as get:
        assert get.stdout is not None and get.stderr is not None
        _numbers(server, 1)
        assert _line(get)
        get.stdout.close()
        _publish(server, b'{"subject":"app.n","payload":2}')
        assert get.wait(PATIENCE) == 0
        assert get.stderr.read() == b""


@pytest.mark.parametrize(
    ("args", "status", "line"),
    [
        (["--subject", "app"], 1, "has no dot"),
        (["--subject", "nope.>"], 1, "nope"),
        (["--subject", "app.>", "--start", "e_neverexisted"], 1, "e_neverexisted"),
        (["--subject", "app.>", "--start", "5 x"], 2, "start '5 x' can't be read"),
        (["--subject", "app.>", "--redelivery", "5x"], 2, "--redelivery: duration '5x' can't be read"),
        (["--subject", "app.>", "--ack", "maybe"], 2, "--ack: 'maybe' is not one of"),
        (["--subject", "app.>", "--limit", "0"], 2, "--limit: 0 is not in the range"),
        ([], 2, "--subject is required; see bus get --help"),
    ],
)
def test_mistakes_are_one_line(bus: ServerProcess, args: list[str], status: int, line: str) -> None:
    get = _get(bus, *args)
    assert (get.returncode, get.stdout) == (status, b"")
    assert get.stderr.startswith(b"bus: ")
    assert line in get.stderr.decode()
    assert get.stderr.count(b"\n") == 1


# -- acknowledging


def test_auto_acknowledges_what_is_printed(server: ServerProcess) -> None:
    _numbers(server, 3)
    options = ["--subject", "app.>", "--start", "oldest", "--ack", "auto", "--consumer", "printer"]
    first = _get(server, *options, "--limit", "2")
    assert _payloads(first.stdout) == [1, 2]
    rest = _get(server, *options, "--follow=false")
    assert (_payloads(rest.stdout), rest.returncode, rest.stderr) == ([3], 0, b"")


def test_manual_waits_for_bus_ack(server: ServerProcess) -> None:
    _numbers(server, 2)
    options = ["--subject", "app.>", "--start", "oldest", "--ack", "manual", "--redelivery", "1h"]
    with _following(server, *options) as get:
        assert get.stderr is not None
        event = msgspec.json.decode(_line(get))
        assert (event["payload"], event["attempts"]) == (1, 1)
        consumer = get.stderr.readline().split()[6].decode()
        assert consumer.startswith("c_")
        said = run_bus("ack", "--consumer-id", consumer, "--event-id", event["id"], "--host", server.url)
        assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")
        assert _payloads(_line(get)) == [2]


def test_nack_has_it_delivered_again(server: ServerProcess) -> None:
    _numbers(server, 1)
    options = ["--subject", "app.>", "--start", "oldest", "--ack", "manual", "--redelivery", "1h"]
    with _following(server, *options) as get:
        assert get.stderr is not None
        event = msgspec.json.decode(_line(get))
        consumer = get.stderr.readline().split()[6].decode()
        said = ["--consumer-id", consumer, "--event-id", event["id"], "--action", "nack", "--reason", "not today"]
        assert run_bus("ack", *said, "--host", server.url).returncode == 0
        again = msgspec.json.decode(_line(get))
        assert (again["id"], again["attempts"]) == (event["id"], 2)


@pytest.mark.parametrize(
    ("args", "status", "line"),
    [
        (["--consumer-id", "c_nobody", "--event-id", "e_nothing"], 1, "c_nobody"),
        (["--consumer-id", "c_nobody"], 2, "--event-id is required; see bus ack --help"),
        (["--consumer-id", "c 1", "--event-id", "e_1"], 2, "malformed"),
        (["--consumer-id", "c_1", "--event-id", "e_1", "--delay", "1s"], 2, "delay goes with"),
    ],
)
def test_acknowledging_in_vain_is_one_line(bus: ServerProcess, args: list[str], status: int, line: str) -> None:
    said = run_bus("ack", *args, "--host", bus.url)
    assert said.returncode == status
    assert line in said.stderr.decode()
    assert said.stderr.count(b"\n") == 1


def test_it_begins_with_the_last_events(server: ServerProcess) -> None:
    for number in range(5):
        request(server, "POST", "/", b'{"subject": "app.a", "payload": %d}' % number)
    got = run_bus("get", "--subject", "app.*", "--last", "2", "--no-follow", "--host", server.url)
    assert [msgspec.json.decode(line)["payload"] for line in got.stdout.splitlines()] == [3, 4]
    both = run_bus("get", "--subject", "app.*", "--last", "2", "--start", "oldest", "--host", server.url)
    assert both.returncode == 2 and b"don't go together" in both.stderr
