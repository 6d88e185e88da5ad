"""``bus events`` against a real server."""

from __future__ import annotations

import pytest

from bus import Client
from tests.support import ServerProcess, request, run_bus


def test_stored_events_are_printed_the_newest_first(server: ServerProcess) -> None:
    with Client(server.url) as client:
        receipts = [client.put(f"app.n{number % 2}", number) for number in range(4)]
    lines = [request(server, "GET", f"/v1/events/{receipt.id}").body for receipt in receipts]
    found = run_bus("events", "--subject", "app.*", "--host", server.url)
    assert (found.returncode, found.stdout.splitlines()) == (0, lines[::-1])
    found = run_bus("events", "--subject", "app.*", "--before", "4", "--limit", "2", "--host", server.url)
    assert found.stdout.splitlines() == [lines[2], lines[1]]
    found = run_bus("events", "--subject", "app.n0", "--subject", "app.n2", "--host", server.url)
    assert found.stdout.splitlines() == [lines[2], lines[0]]


def test_more_than_a_page_is_printed(server: ServerProcess) -> None:
    with Client(server.url) as client:
        client.put_many([{"subject": "app.a", "payload": number} for number in range(1200)])
    found = run_bus("events", "--subject", "app.a", "--limit", "1100", "--host", server.url)
    assert found.stdout.count(b"\n") == 1100
    assert b'"index":101}' in found.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("args", "status", "text"),
    [
        ((), 2, b"--subject"),
        (("--subject", "app.a", "--limit", "0"), 2, b"--limit"),
        (("--subject", "app"), 1, b"has no dot"),
        (("--subject", "nowhere.a"), 1, b"not declared"),
    ],
)
def test_what_cannot_be_meant_is_said(server: ServerProcess, args: tuple[str, ...], status: int, text: bytes) -> None:
    found = run_bus("events", *args, "--host", server.url)
    assert found.returncode == status and text in found.stderr
