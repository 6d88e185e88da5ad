"""Workers and the server killed at random while events flow: what each worker noted is compared with the log.

Promised is: at least once for a durable consumer, in order for each key under ``order=key``, in order altogether for
one connection that takes one event at a time, and exactly once for whoever resumes from notes of his own.
"""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.faults.conftest import Figure
from tests.faults.crews import CHUNK, Crew, crews, judge, publish, read_log, wait_for_all, wait_until_settled
from tests.faults.rounds import FULL, rounds
from tests.faults.worker import CARELESS
from tests.support import ServerProcess

pytestmark = pytest.mark.timeout(1800)

KINDS = {"shared": 3, "keyed": 3, "strict": 1, "plain": 1}
EVENTS = rounds(short=6_000, full=100_000)
UPLOAD_SECONDS = 0.03
"""About what a chunk takes: the server is killed before, within or after it."""
SERVER_KILLS, WORKER_KILLS = rounds(short=3, full=15), rounds(short=8, full=60)


def kill_at_random(server: ServerProcess, hired: dict[str, Crew], chance: random.Random) -> None:
    """Publish all events, and now and then kill a worker, or the server while it takes some in."""
    moments = range(CHUNK, EVENTS, CHUNK)
    server_dies, worker_dies = chance.sample(moments, SERVER_KILLS), chance.choices(moments, k=WORKER_KILLS)
    for first in range(0, EVENTS, CHUNK):
        for _ in range(worker_dies.count(first)):
            crew = chance.choice(list(hired.values()))
            crew.kill(chance.randrange(crew.size))
            crew.hire()
        with ThreadPoolExecutor(1) as publisher:
            publisher.submit(publish, server, first)
            if first in server_dies:
                time.sleep(chance.random() * UPLOAD_SECONDS)
                server.kill()
        if first in server_dies:
            server.restart()


@pytest.mark.parametrize("seed", [1] if not FULL else [1, 2])
def test_workers_and_server_killed_at_random(
    start_server: StartServer, tmp_path: Path, figure: Figure, seed: int
) -> None:
    server = start_server(flags=["--dup-size", "0", "--segment-size", "1MiB"])
    with crews(server, tmp_path, KINDS) as hired:
        kill_at_random(server, hired, random.Random(seed))
        log = read_log(server)
        wait_for_all(hired.values(), log)
    assert [event.index for event in log] == list(range(1, len(log) + 1))
    found = {kind: judge(crew, log) for kind, crew in hired.items()}
    for kind, history in found.items():
        assert (history.skipped, history.invented) == (0, 0), kind
        told = f"{history.events} / {history.skipped} / {history.repeated}"
        figure(f"history {seed}, {SERVER_KILLS}+{WORKER_KILLS} kills, {kind}: events / skipped / repeated", told)
    assert found["keyed"].out_of_order_by_key == 0
    assert found["strict"].out_of_order == 0
    assert (found["plain"].out_of_order, found["plain"].repeated) == (0, 0)


def test_the_control_for_that_says_done_before_it_is(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server(flags=["--dup-size", "0"])
    with crews(server, tmp_path, {"careless": 1}) as hired:
        for first in range(0, 4 * CHUNK, CHUNK):
            publish(server, first)
        wait_until_settled(server, "careless")
        hired["careless"].kill()
        hired["careless"].hire()
    history = judge(hired["careless"], read_log(server))
    assert history.skipped == history.events % CARELESS > 0
