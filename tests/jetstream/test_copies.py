"""Copies into a cluster and out of it: ids, indexes, times and keys stay."""

from __future__ import annotations

from pathlib import Path

from tests.jetstream.conftest import StartBus
from tests.nats.servers import Servers
from tests.server.support import draft, publish, read, upload
from tests.support import ServerProcess, run_bus


def copy(source: str, target: str) -> None:
    copied = run_bus("copy", "--from", source, "--to", target, "--namespace", "app")
    assert copied.returncode == 0, copied.stderr


def test_what_is_copied_in_and_out_again_is_what_it_was(node: Servers, start_bus: StartBus, tmp_path: Path) -> None:
    first = ServerProcess(tmp_path / "first", namespaces=["app"])
    try:
        upload(first, [draft(f"app.n{number % 3}", number) for number in range(300)])
        publish(first, "app.a", key="once")
        events = read(first, "app.>")
        cluster = start_bus(node)
        copy(first.url, cluster.url)
    finally:
        first.close()
    assert read(cluster, "app.>") == events
    copy(cluster.url, str(tmp_path / "last"))
    last = ServerProcess(tmp_path / "last", namespaces=["app"])
    try:
        assert read(last, "app.>") == events
        assert publish(last, "app.a", key="once").status == 409
    finally:
        last.close()
