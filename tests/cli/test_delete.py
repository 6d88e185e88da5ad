"""``bus delete`` against a real server."""

from __future__ import annotations

import pytest

from bus import Client
from tests.cli.stored import on_a_terminal
from tests.conftest import StartServer
from tests.support import ServerProcess, run_bus


def test_events_are_deleted(server: ServerProcess) -> None:
    with Client(server.url) as client:
        receipts = [client.put("app.a", number) for number in range(4)]
        by_id = run_bus("delete", "--id", receipts[0].id, "--host", server.url)
        assert (by_id.returncode, by_id.stdout) == (0, b'{"deleted":1}\n')
        before = run_bus("delete", "--subject", "app.*", "--before", "3", "--host", server.url)
        assert before.stdout == b'{"deleted":1}\n'
        assert "deleted 2 events" in on_a_terminal("delete", "--subject", "app.a", "--host", server.url)
        assert list(client.get("app.>", start="oldest", follow=False)) == []


def test_the_namespace_is_said_if_several_have_the_id(start_server: StartServer) -> None:
    server = start_server(namespaces=["app", "orders"])
    with Client(server.url) as client:
        for name in ("app", "orders"):
            client.put(f"{name}.a", id="same")
    refused = run_bus("delete", "--id", "same", "--host", server.url)
    assert refused.returncode == 1 and b"app, orders" in refused.stderr
    deleted = run_bus("delete", "--id", "same", "--namespace", "orders", "--host", server.url)
    assert (deleted.returncode, deleted.stdout) == (0, b'{"deleted":1}\n')


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), b"give one of --subject and --id"),
        (("--subject", "app.a", "--id", "e_1"), b"give one of --subject and --id"),
        (("--id", "e_1", "--before", "3"), b"--before goes with --subject"),
        (("--subject", "app.a", "--namespace", "app"), b"--namespace goes with --id"),
    ],
)
def test_wrong_usage_is_said(server: ServerProcess, args: tuple[str, ...], text: bytes) -> None:
    answer = run_bus("delete", *args, "--host", server.url)
    assert answer.returncode == 2 and text in answer.stderr


def test_a_dump_leaves_out_what_was_deleted(server: ServerProcess) -> None:
    with Client(server.url) as client:
        receipts = [client.put("app.a", number) for number in range(4)]
        client.events.delete(receipts[1].id)
    server.stop()
    dumped = server.path.with_name("dump.json")
    assert run_bus("dump", "--path", server.path, "--output", dumped).returncode == 0
    assert dumped.read_bytes().count(b"\n") == 3
    restored = run_bus("restore", "--path", server.path.with_name("again"), "--input", dumped)
    assert restored.returncode == 1 and b"--append gives new indexes" in restored.stderr
    appended = run_bus("restore", "--path", server.path.with_name("new"), "--input", dumped, "--append")
    assert appended.returncode == 0, appended.stderr
