"""What a namespace may have, and what its publishers are told beyond that."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.support import acknowledge, draft, metric, post, publish, read_lines, refusal, stored, with_limits
from tests.support import Answer, ServerProcess, request, run_bus, subscribe

OFTEN = with_limits(RETENTION_SECONDS=0.1)
QUOTA = 256_000
KINDS = pytest.mark.parametrize("kind", ["app", "app:memory"])


def fill(server: ServerProcess) -> tuple[int, Answer]:
    """Publish until that is refused; how many events were stored, and the refusal."""
    count = 0
    while (answer := publish(server, "app.a", "x" * 10_000)).status == 202:
        count += 1
    return count, answer


def namespace(server: ServerProcess) -> dict[str, object]:
    found = msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)
    return next(one for one in found["namespaces"] if one["namespace"] == "app")


@KINDS
def test_publishers_are_refused_beyond_it_in_whatever_way_they_come(start_server: StartServer, kind: str) -> None:
    server = start_server(namespaces=[kind, "orders"], flags=["--quota", f"app={QUOTA}"])
    count, refused = fill(server)
    status, text = refusal(refused)
    assert (status, text.split(":")[0]) == (507, "namespace app has the 256 KB that it may")
    assert QUOTA <= int(str(namespace(server)["bytes"])) < QUOTA + 20_000
    assert namespace(server)["quota"] == QUOTA
    event = draft("app.a")
    assert post(server, b"[" + event + b"]").status == 507
    line = msgspec.json.decode(post(server, event, Content_Type=NDJSON).body)
    assert (line["status"], line["code"]) == (507, "quota-exceeded")
    assert post(server, event, "?wait=confirm").status == 507
    put = run_bus("put", "--host", server.url, "--subject", "app.a", "--data", "1")
    assert (put.returncode, b"namespace app has the 256 KB" in put.stderr) == (1, True)
    assert publish(server, "orders.a").status == 202
    assert request(server, "GET", "/readyz").status == 200
    assert len(read_lines(server, "app.a")) == count
    server.wait_for_log("WARNING bus.engine namespace app has the 256 KB that it may")


@KINDS
def test_what_comes_together_is_stopped_as_well(start_server: StartServer, kind: str) -> None:
    server = start_server(namespaces=[kind], flags=["--quota", f"*={QUOTA}"])
    answers = post(server, b"\n".join([draft("app.a", "x" * 1000)] * 3000), Content_Type=NDJSON).body.splitlines()
    assert sum(b'"code":"quota-exceeded"' in line for line in answers) > 1000
    assert len(read_lines(server, "app.a")) == sum(b'"index":' in line for line in answers)


def test_it_goes_on_when_retention_makes_room(start_server: StartServer) -> None:
    flags = ["--quota", f"app={QUOTA}", "--retention", "app=100KB"]
    server = start_server(namespaces=["app"], wrapper=OFTEN, flags=flags)
    with subscribe(server, "app.a", ack="manual", consumer="billing", prefetch=100, redelivery="1h") as stream:
        count, _ = fill(server)
        ids = [event.id for event in stream.take(count)]
        assert publish(server, "app.a").status == 507
        assert acknowledge(server, stream.headers["x-bus-consumer-id"], *ids).status == 202
        server.wait_for_log("namespace app is within its quota again, and takes events")
        assert publish(server, "app.a").status == 202


def test_dead_letters_find_room_so_that_it_can_be_made(start_server: StartServer) -> None:
    server = start_server(namespaces=["app"], flags=["--quota", f"app={QUOTA}"])
    with subscribe(server, "app.a", ack="manual", consumer="billing", redelivery="1h") as stream:
        fill(server)
        consumer = stream.headers["x-bus-consumer-id"]
        assert acknowledge(server, consumer, stream.take(1)[0].id, action="reject").status == 202
    assert len(read_lines(server, "app._dead_.billing")) == 1


def test_it_holds_after_a_restart_and_a_larger_one_makes_room(start_server: StartServer) -> None:
    server = start_server(namespaces=["app"], flags=["--quota", f"app={QUOTA}"])
    fill(server)
    server.restart()
    assert publish(server, "app.a").status == 507
    assert server.stop() == 0
    server = start_server(server.path, namespaces=["app"], env={"BUS_QUOTA": "app=1MB"})
    stored(server, "app.a")
    assert metric(server, 'bus_log_quota_bytes{namespace="app"}') == 1_000_000


def test_memory_is_deleted_at_its_size_and_refused_at_its_quota(start_server: StartServer) -> None:
    server = start_server(
        namespaces=["app:memory", "orders:memory"],
        flags=["--retention", "*=128KB", "--quota", "app=1MB orders=64KB"],
    )
    for _ in range(200):
        stored(server, "app.a", "x" * 10_000)
    assert {publish(server, "orders.a", "x" * 10_000).status for _ in range(20)} == {202, 507}


@pytest.mark.parametrize("text", ["app", "app=", "=1GB", "app=0", "app=x", "app=1GB,2GB", "app=-1"])
def test_a_quota_that_can_not_be_read(text: str) -> None:
    answer = run_bus("server", "--namespaces", "app", "--quota", text)
    assert answer.returncode == 2
    assert b"--quota: quota" in answer.stderr and b"write it like orders=10GB" in answer.stderr


@pytest.mark.parametrize(
    ("flag", "value", "what"),
    [
        ("--retention", "app=1d app=7d", "retention"),
        ("--quota", "app=1GB app=2GB", "quota"),
        ("--compact", "app=subject,app=key", "compaction"),
    ],
)
def test_a_setting_is_given_once_for_each_namespace(tmp_path: Path, flag: str, value: str, what: str) -> None:
    ended = run_bus("server", "--path", str(tmp_path), "--namespaces", "app", flag, value)
    said = f"bus: {flag}: {what} of namespace 'app' is given twice: give it once"
    assert (ended.returncode, ended.stderr.decode().strip()) == (2, said)
