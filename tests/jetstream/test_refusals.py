"""What isn't promised on JetStream is refused, with what to do instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.jetstream.conftest import StartBus
from tests.nats.servers import Servers
from tests.support import request, run_bus

REQUESTS = {
    "order=key": [
        ("GET", "/?subject=app.a&ack=manual&order=key", b"", b"order=key isn't offered"),
        ("GET", "/?subject=app.a&ack=manual&consumer=c&order=key", b"", b"order=key isn't offered"),
        ("PUT", "/v1/consumers/c", b'{"patterns": ["app.a"], "order": "key"}', b"order=key isn't offered"),
    ],
    "expires": [
        ("PUT", "/v1/consumers/c", b'{"patterns": ["app.a"], "expires": "1h"}', b"kept until they are deleted"),
    ],
    "schedules": [
        ("POST", "/?delay=1h", b'{"subject": "app.a"}', b"aren't published later"),
        ("PUT", "/v1/schedules/s", b'{"cron": "0 8 * * *", "subject": "app.a"}', b"aren't published later"),
    ],
    "start=last": [
        ("GET", "/?subject=app.a&start=last", b"", b"start=last isn't offered"),
        ("PUT", "/v1/consumers/c", b'{"patterns": ["app.a"], "start": "last"}', b"start=last isn't offered"),
    ],
    "deletion": [("DELETE", "/v1/events?subject=app.a", b"", b"without holes")],
    "namespaces made while servers run": [("PUT", "/v1/namespaces/new", b"{}", b"name it with --namespaces")],
}
"""Requests, by the reason for which tests of the embedded engine alone are marked, and what refuses them."""

SETTINGS = {
    "settings of the embedded engine": [(["--fsync", "never"], "sync_interval")],
    "a directory of its own": [(["--fsync-interval", "2s"], "sync_interval")],
    "encryption": [(["--secret-key", "s"], "cipher and key"), (["--block-size", "8192"], "cuts its files itself")],
    "segments": [(["--segment-size", "1MB"], "nats-server cuts its files itself")],
    "windows that count keys": [(["--dup-size", "5"], "--dup-ttl"), (["--dup-size", "0"], "--dup-ttl")],
    "windows of less than 100 ms": [(["--dup-ttl", "1ns"], "100ms at least"), (["--dup-ttl", "0"], "100ms at least")],
    "namespaces in memory": [(["--namespaces", "app:memory"], "can't be in memory")],
    "consumers that expire": [(["--consumer-ttl", "1h"], "kept until they are deleted")],
    "compaction": [(["--compact", "app=subject"], "leave holes")],
    "quotas beside a retention by size": [(["--quota", "app=1MB", "--retention", "app=1MB"], "can't both hold")],
}
"""Settings, likewise."""

SHOWN_ELSEWHERE = {
    "what its receipts say",
    "connections that outlive a move",
    "leases that outlive a crash",
    "that what doesn't match any more is settled at once",
    "when what was nacked before a restart is due",
}
"""What isn't refused but different: `test_durability`, `test_durable`."""

NOT_THERE = {"how long the disk takes", "how many keys are remembered", "counts that are taken in one turn"}
"""What only the embedded engine knows of itself."""

SAME_AS = {"memory": "namespaces in memory"}
"""Other words for a reason."""

_MARK = re.compile(r'mark\.embedded_only\("([^"]+)"\)')


@pytest.mark.parametrize(("method", "target", "body", "text"), [case for cases in REQUESTS.values() for case in cases])
def test_what_is_not_promised_is_refused(
    node: Servers, start_bus: StartBus, method: str, target: str, body: bytes, text: bytes
) -> None:
    answer = request(start_bus(node), method, target, body)
    assert (answer.status, text in answer.body) == (501, True), answer


@pytest.mark.parametrize(("flags", "text"), [case for cases in SETTINGS.values() for case in cases])
def test_settings_that_mean_nothing_are_refused(node: Servers, flags: list[str], text: str) -> None:
    ended = run_bus("server", "--addr", "127.0.0.1:0", "--namespaces", "app", "--engine", f"{node.url}/none", *flags)
    assert (ended.returncode, text in ended.stderr.decode()) == (1, True), ended.stderr


def test_every_reason_to_leave_out_a_test_has_a_refusal() -> None:
    files = [path for path in Path(__file__).parents[1].rglob("test_*.py") if path != Path(__file__)]
    marked = {reason for path in files for reason in _MARK.findall(path.read_text())}
    reasons = {SAME_AS.get(part, part) for reason in marked for part in reason.split(", ")}
    assert marked and reasons <= REQUESTS.keys() | SETTINGS.keys() | SHOWN_ELSEWHERE | NOT_THERE


def test_a_server_without_nats_says_so() -> None:
    ended = run_bus("server", "--addr", "127.0.0.1:0", "--namespaces", "app", "--engine", "nats://127.0.0.1:1")
    assert (ended.returncode, b"NATS can't be reached" in ended.stderr) == (1, True), ended.stderr


def test_nodes_that_take_too_little_are_refused(tmp_path: Path) -> None:
    with Servers(tmp_path, settings="max_payload: 1MB") as small:
        ended = run_bus("server", "--addr", "127.0.0.1:0", "--namespaces", "app", "--engine", small.url)
    assert (ended.returncode, b"max_payload" in ended.stderr) == (1, True), ended.stderr
