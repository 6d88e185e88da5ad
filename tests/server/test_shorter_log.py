"""A log that ends before the place of its consumers: restored from an older copy, or its end lost."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

from tests.server.support import acknowledge, stored
from tests.support import ServerProcess, request, subscribe

WORKER: dict[str, Any] = {"ack": "manual", "consumer": "w", "prefetch": "10", "redelivery": "1h"}


def _work(server: ServerProcess) -> None:
    """Have consumer ``w`` settle events 1 to 6, give up 7 and leave 8 pending."""
    with subscribe(server, "app.a", start="oldest", **WORKER) as stream:
        ids = [event.id for event in stream.take(8)]
        consumer = stream.headers["x-bus-consumer-id"]
        assert acknowledge(server, consumer, *ids[:6]).status == 202
        assert acknowledge(server, consumer, ids[6], action="reject").status == 202


def _restore(server: ServerProcess, copy: Path) -> None:
    shutil.rmtree(server.path / "app")
    shutil.copytree(copy, server.path / "app")


def test_a_place_beyond_the_end_is_corrected_for_good(server: ServerProcess, tmp_path: Path) -> None:
    for number in range(3):
        stored(server, "app.a", number)
    assert server.stop() == 0
    shutil.copytree(server.path / "app", tmp_path / "copy")
    server.start()
    for number in range(3, 8):
        stored(server, "app.a", number)
    _work(server)
    assert server.stop() == 0
    _restore(server, tmp_path / "copy")
    server.start()
    line = server.wait_for_log("shorter")
    # It has passed by the letter of its dead event, or hasn't read it yet.
    assert re.search("with event 4 instead of (9|10); 1 pending and 1 dead beyond the end are forgotten", line)
    new = [stored(server, "app.a", "new") for _ in range(6)]
    server.restart()  # by a crash, before anything else is written of the consumer
    assert "shorter" not in server.log
    about = msgspec.json.decode(request(server, "GET", "/v1/consumers/w").body)
    assert (about["next_index"], about["pending"], about["dead"]) == (4, 0, 0)
    with subscribe(server, "app.a", **WORKER) as stream:
        assert [event.id for event in stream.take(6)] == new
