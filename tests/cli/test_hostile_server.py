"""Whatever a server answers: one line, no control character for the terminal, nothing of it in a directory."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.cli.go_server import GoServer, serving
from tests.cli.stored import Stored, on_a_terminal
from tests.support import run_bus

EVIL = "\x1b]0;owned\x07\x9b31m\u202egnp.exe\x7f\r"
SHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_STATS = b'{"namespaces":[{"namespace":"app","first_index":1,"next_index":3,"events":2,"bytes":1,"segments":1}]}'


def _answer(body: bytes, *, status: str = "200 OK", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nX-BUS-CONSUMER-ID: c_1\r\nConnection: close\r\n\r\n"
    return head.encode() + body


class Hostile(GoServer):
    """Answers every request with the same bytes, but tells its namespaces if it is to *pose* as one of ours."""

    def __init__(self, answer: bytes, *, poses: bool = False) -> None:
        super().__init__([])
        self._answer = answer
        self._poses = poses

    def answer(self, connection: socket.socket) -> None:
        asked = connection.recv(65536)
        if asked:
            poses = self._poses and b"v1/namespaces" in asked
            connection.sendall(_answer(_STATS) if poses else self._answer)
            with suppress(OSError):  # it has hung up already
                connection.shutdown(socket.SHUT_RDWR)


def frame(
    index: object, *, subject: bytes = b"app.a", payload: bytes = b"1", lead: bytes = b"", rare: bytes = b""
) -> bytes:
    """A frame as our servers send it, with what is not as it should be."""
    return (
        b'id: e_1%b\nevent: msg\ndata: {"id":"e_1","subject":"%b","payload":%b,'
        b'"created_at":"2026-01-01T00:00:00.000000000Z","index":%b%b}\n\n'
    ) % (lead, subject, payload, str(index).encode(), rare)


_DEAD = b'{"consumer":"../x","id":"e","subject":"app.a","index":1,"attempts":1,"reason":""}'
_DONE = b'event: done\ndata: {"reason":"tail"}\n\n'
FRAMES = {
    "not UTF-8": frame(1, payload=b'"\xff"'),
    "CR in the id": frame(1, lead=b"\revent: done\rdata: x"),
    "LF in the id": frame(1, lead=b"\nevent: done\ndata: x"),
    "another namespace": frame(1, subject=b"orders.a"),
    "a path as subject": frame(1, subject=b"../x.a"),
    "a line break in the subject": frame(1, subject=b"app.a\\n"),
    "a hole": frame(1) + frame(5),
    "backwards": frame(5) + frame(1),
    "twice": frame(1) + frame(1),
    "index 0": frame(0),
    "a negative index": frame(-1),
    "a huge index": frame(1 << 70),
    "an index of 5,000 digits": frame("9" * 5000),
    "an index that is none": frame('"1"'),
    "a field that we don't know": frame(1, rare=b',"later":1'),
    "a dead letter that is none": frame(1, rare=b',"dead":' + _DEAD),
    "no JSON": b"id: e_1\nevent: msg\ndata: x\n\n",
    "an array": b"id: e_1\nevent: msg\ndata: []\n\n",
    "brackets": frame(1, payload=b"[" * 100_000),
    "control characters": frame(1, subject=EVIL.replace("\r", "").encode()),
    "an error": b"event: error\ndata: " + EVIL.replace("\r", "").encode() + b"\n\n",
    "a gap": b'event: gap\ndata: {"first_missing":1,"last_missing":2,"next_index":3,"reason":"damaged"}\n\n',
}  # fmt: skip


@pytest.mark.parametrize("what", FRAMES)
def test_nothing_but_events_in_order_reaches_a_directory(plain: Stored, what: str) -> None:
    stream = _answer(FRAMES[what] + _DONE, kind="text/event-stream")
    with serving(Hostile(stream, poses=True)) as server:
        copied = run_bus("copy", "--from", server.url, "--to", plain.path)
        dumped = run_bus("dump", "--path", server.url)
    assert (copied.returncode, copied.stderr.count(b"\n")) == (1, 1)
    assert b"unexpected" not in copied.stderr + dumped.stderr
    assert not SHOWN.search((copied.stderr + dumped.stderr).decode())
    assert [file.name for file in plain.path.iterdir()] == ["lock"]


def test_events_in_order_do(plain: Stored) -> None:
    nothing = b"id: e_1\nevent: msg\ndata: \n\n"
    whole = frame(1, payload='"\u2028\u00fc"'.encode()) + nothing + frame(2) + nothing + _DONE
    with serving(Hostile(_answer(whole, kind="text/event-stream"), poses=True)) as server:
        assert run_bus("copy", "--from", server.url, "--to", plain.path).returncode == 0
        assert run_bus("dump", "--path", server.url).stdout == plain.dump()
    assert plain.dump().count(b"\n") == 2


COMMANDS: dict[str, Callable[[str], list[str]]] = {
    "put": lambda url: ["put", "--subject", "app.a", "--data", "1", "--host", url],
    "request": lambda url: ["put", "--subject", "app.a", "--data", "1", "--request", "--host", url],
    "get": lambda url: ["get", "--subject", "app.a", "--start", "oldest", "--limit", "1", "--host", url],
    "ack": lambda url: ["ack", "--consumer-id", "c_1", "--event-id", "e_1", "--host", url],
    "consumers": lambda url: ["consumers", "--host", url],
    "consumer": lambda url: ["consumers", "show", "w", "--host", url],
    "why": lambda url: ["consumers", "why", "w", "--host", url],
    "delete": lambda url: ["consumers", "delete", "w", "--host", url],
    "dead": lambda url: ["dead", "list", "w", "--host", url],
    "redrive": lambda url: ["dead", "redrive", "w", "--host", url],
    "debug": lambda url: ["debug", "--path", url, "--namespace", "app", "--subjects", "3"],
    "list": lambda url: ["debug", "--path", url, "--subject", "app.>", "--index", "1..1"],
    "dump": lambda url: ["dump", "--path", url, "--namespace", "app"],
    "bench": lambda url: ["bench", "publish", "--subject", "app.a", "--events", "1", "--host", url],
}  # fmt: skip
_TEXT = EVIL.encode()
ANSWERS = {
    "an error of text": _answer(_TEXT, status="400 Bad Request", kind="text/plain"),
    "an error as JSON": _answer(
        b'{"detail":"\\u001b[31m\\u009b\\u202e","code":"invalid"}',
        status="404 Not Found",
        kind="application/problem+json",
    ),
    "text": _answer(_TEXT, kind="text/plain"),
    "JSON of another kind": _answer(b'[{"consumers":1}]'),
    "rows of another kind": _answer(b'{"consumers":[{"name":1}],"dead":[{"index":"x"}],"namespaces":[0]}'),
    "names of control characters": _answer(
        b'{"consumers":[{"name":"\\u001b","patterns":["\\u009b"],"behind":0,"pending":0,"dead":0,"connections":0,'
        b'"why":"\\u202e"}],"dead":[{"index":1,"subject":"\\u001b","attempts":1,"time":1,"reason":"\\u009b"}]}'
    ),
    "an error in the stream": _answer(b"event: error\ndata: " + _TEXT.strip() + b"\n\n", kind="text/event-stream"),
    "bytes": b"\x1b\x9b\x00\xff" * 100,
}  # fmt: skip


# A stream that breaks is taken up again, for seconds: what reads one gets the answers that end it.
ANSWERED = [
    (name, what) for name in COMMANDS for what in ANSWERS if name not in ("get", "list") or what.startswith("an error")
]


@pytest.mark.parametrize(("name", "what"), ANSWERED)
def test_an_answer_of_any_kind_is_a_result_or_one_line(name: str, what: str) -> None:
    with serving(Hostile(ANSWERS[what])) as server:
        ended = run_bus(*COMMANDS[name](server.url))
    assert b"Traceback" not in ended.stderr and b"unexpected" not in ended.stderr, ended.stderr
    assert ended.returncode in (0, 1, 2)
    assert ended.stderr.count(b"\n") <= 2
    assert not SHOWN.search(ended.stderr.decode())


@pytest.mark.parametrize("name", ["consumers", "consumer", "why", "dead"])
def test_a_terminal_gets_no_control_characters(name: str) -> None:
    with serving(Hostile(ANSWERS["names of control characters"])) as server:
        shown = on_a_terminal(*COMMANDS[name](server.url))
    assert not re.search(r"\x1b[^\[]|\x1b\[3|[\x80-\x9f\u202e]", shown)
    assert "\\u" in shown


def test_json_on_a_terminal_stays_json() -> None:
    event = frame(1, payload='"\u009b31m \u202e \x7f"'.encode())
    with serving(Hostile(_answer(event + _DONE, kind="text/event-stream"), poses=True)) as server:
        shown = on_a_terminal("dump", "--path", server.url)
        piped = run_bus("dump", "--path", server.url).stdout
    assert '"payload":"\\u009b31m \\u202e \\u007f"' in shown
    assert '"\u009b31m \u202e \x7f"'.encode() in piped
