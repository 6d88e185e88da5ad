"""The main job: real webhooks in over the shell, out again byte for byte, also after a crash."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.support import ServerProcess, run_bus

WEBHOOKS = Path(__file__).parent / "data" / "github-webhooks.ndjson"


class Line(msgspec.Struct):
    """What matters of an event here; the payload stays the bytes it was."""

    subject: str
    payload: msgspec.Raw
    index: int = 0


def _lines(data: bytes) -> list[Line]:
    return msgspec.json.Decoder(Line).decode_lines(data)


def _content(lines: list[Line]) -> list[tuple[str, bytes]]:
    return [(line.subject, bytes(line.payload)) for line in lines]


def _read(server: ServerProcess, pattern: str) -> list[Line]:
    answer = run_bus("get", "--subject", pattern, "--start", "oldest", "--follow=false", "--host", server.url)
    assert (answer.returncode, answer.stderr) == (0, b"")
    return _lines(answer.stdout)


def _check_everything_is_there(server: ServerProcess) -> None:
    published = _lines(WEBHOOKS.read_bytes())
    found = _read(server, "github.>")
    assert _content(found) == _content(published)
    assert [line.index for line in found] == list(range(1, len(published) + 1))
    pulls = [line for line in found if line.subject.startswith("github.pull_request.")]
    assert _read(server, "github.pull_request.*") == pulls
    assert pulls


@pytest.mark.timeout(120)
def test_webhooks_are_kept_byte_for_byte_and_in_order_through_a_crash(server: ServerProcess) -> None:
    put = run_bus("put", "--file", WEBHOOKS, "--host", server.url)
    assert (put.returncode, put.stderr) == (0, b"")
    receipts = [msgspec.json.decode(line) for line in put.stdout.splitlines()]
    assert [receipt["index"] for receipt in receipts] == list(range(1, 274))
    _check_everything_is_there(server)
    server.kill()
    server.restart()
    _check_everything_is_there(server)
