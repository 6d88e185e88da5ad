"""A power cut right after something was changed: a namespace made or deleted, events deleted, a log compacted."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Figure
from tests.faults.disks import LoopDisk, needs_mount
from tests.faults.rounds import rounds
from tests.faults.without_syncs import WITHOUT_SYNCS
from tests.server.support import draft, publish, read, upload, with_limits
from tests.support import PATIENCE, ServerProcess, request, run_bus

pytestmark = [needs_mount, pytest.mark.timeout(600)]

FILLER = "x" * 400
SECRET = "a word that is to be forgotten"
OFTEN = with_limits(RETENTION_SECONDS=0.05)
COMPACTED = ["--segment-size", "16KiB", "--compact", "app=subject"]


@contextmanager
def served(
    disk: LoopDisk, flags: Sequence[str] = (), *, wrapper: Sequence[str] = (), cut: bool = False
) -> Iterator[ServerProcess]:
    """A server on *disk*; with *cut* the power is cut at the end of the block, and what is left is mounted."""
    server = ServerProcess(disk.place / "data", flags=flags, wrapper=wrapper)
    try:
        yield server
        if cut:
            disk.cut_power()
            server.kill()
    finally:
        server.close()
    if cut:
        disk.start_again()


def put(server: ServerProcess, name: str, **settings: object) -> int:
    return request(server, "PUT", f"/v1/namespaces/{name}", json.dumps(settings).encode(), timeout=PATIENCE).status


def find(server: ServerProcess, path: str) -> Any:
    answer = request(server, "GET", path)
    return json.loads(answer.body) if answer.status == 200 else answer.status


def bytes_below(place: Path) -> bytes:
    return b"".join(file.read_bytes() for file in place.rglob("*") if file.is_file())


# -- namespaces


def change_namespaces(server: ServerProcess) -> None:
    """Make one and delete another; the last thing is a change that only the table knows."""
    assert put(server, "gone") == put(server, "made", max_bytes=10**6) == 201
    publish(server, "gone.a", SECRET)
    publish(server, "made.a", 1)
    assert request(server, "DELETE", "/v1/namespaces/gone", timeout=PATIENCE).status == 204
    assert put(server, "app", max_bytes=10**7) == 200


def is_as_answered(server: ServerProcess) -> bool:
    payloads = [event["payload"] for event in read(server, "made.>")] if find(server, "/v1/namespaces/made") else []
    quotas = [find(server, f"/v1/namespaces/{name}") for name in ("made", "app")]
    is_gone = find(server, "/v1/namespaces/gone") == 404 and SECRET.encode() not in bytes_below(server.path)
    return payloads == [1] and [one["quota"] for one in quotas] == [10**6, 10**7] and is_gone


def test_namespaces_are_as_it_was_answered(loop_disk: LoopDisk, figure: Figure) -> None:
    cuts = rounds(short=2, full=10)
    for _ in range(cuts):
        with served(loop_disk, cut=True) as server:
            change_namespaces(server)
        with served(loop_disk) as server:
            assert is_as_answered(server)
            assert request(server, "DELETE", "/v1/namespaces/made", timeout=PATIENCE).status == 204
            assert put(server, "app", max_bytes=0) == 200
    figure("power cuts after namespaces were made, changed and deleted: cuts / not as answered", f"{cuts} / 0")


def test_the_control_for_that_does_not_sync_and_forgets(loop_disk: LoopDisk) -> None:
    with served(loop_disk):
        """The directory is there."""
    with served(loop_disk, wrapper=WITHOUT_SYNCS, cut=True) as server:
        assert put(server, "app", max_bytes=10**7) == 200
    with served(loop_disk) as server:
        assert find(server, "/v1/namespaces/app")["quota"] is None


# -- events


@contextmanager
def read_again_and_again(server: ServerProcess) -> Iterator[None]:
    """Somebody reads all of ``app`` while the block runs; the indexes have to rise."""
    ended = threading.Event()
    wrong: list[list[int]] = []

    def go_on() -> None:
        while not ended.is_set():
            indexes = [event["index"] for event in read(server, "app.>")]
            if indexes != sorted(set(indexes)):
                wrong.append(indexes)

    reader = threading.Thread(target=go_on)
    reader.start()
    try:
        yield
    finally:
        ended.set()
        reader.join(PATIENCE)
    assert not wrong and not reader.is_alive()


def rewrite(server: ServerProcess, first: int) -> dict[str, int]:
    """Publish until it was compacted, and delete in between; what is to be the newest of each subject."""
    newest = {}
    with read_again_and_again(server):
        began = find(server, "/v1/namespaces/app")["compactions"]
        while find(server, "/v1/namespaces/app")["compactions"] < began + 2:
            lines = [draft(f"app.n{number % 10}", [number, FILLER]) for number in range(first, first + 300)]
            assert all("index" in receipt for receipt in upload(server, lines))
            newest = {f"app.n{number % 10}": number for number in range(first, first + 300)}
            first += 300
            publish(server, "app.secret", [first, SECRET])
            deleted = request(server, "DELETE", "/v1/events?subject=app.secret", timeout=PATIENCE)
            assert deleted.status == 200 and json.loads(deleted.body)["deleted"] >= 1
    return newest


def losses(server: ServerProcess, newest: dict[str, int]) -> list[str]:
    """What isn't as it has to be after a cut."""
    lines = read(server, "app.>")
    events = [line for line in lines if "subject" in line]
    found = {event["subject"]: event["payload"][0] for event in events}
    counted = {row["subject"]: row["events"] for row in find(server, "/v1/subjects?match=app.>&limit=1000")["subjects"]}
    return [
        *(f"{name} ends with {found.get(name)}" for name in newest if found.get(name) != newest[name]),
        *(line["error"] for line in lines if "error" in line),
        *(["the secret is there"] if SECRET.encode() in bytes_below(server.path) else []),
        *(
            ["the table of subjects is not what a recount gives"]
            if counted != Counter(e["subject"] for e in events)
            else []
        ),
    ]


def test_rewriting_loses_no_neighbour_and_brings_nothing_back(loop_disk: LoopDisk, figure: Figure) -> None:
    """With a reader under way while it is compacted; the table of subjects is true right after a cut."""
    cuts, first = rounds(short=2, full=10), 0
    for _ in range(cuts):
        with served(loop_disk, COMPACTED, wrapper=OFTEN, cut=True) as server:
            newest = rewrite(server, first)
        first = max(newest.values()) + 1
        with served(loop_disk, COMPACTED) as server:
            assert losses(server, newest) == []
        checked = run_bus("verify", "--path", loop_disk.place / "data")
        assert checked.returncode == 0, checked.stdout
    figure("power cuts after deletions and compactions, with readers: cuts / events lost or back", f"{cuts} / 0")


def test_the_control_for_that_does_not_sync_and_loses(loop_disk: LoopDisk) -> None:
    with served(loop_disk, COMPACTED):
        """The log is there."""
    with served(loop_disk, COMPACTED, wrapper=WITHOUT_SYNCS, cut=True) as server:
        lines = [draft(f"app.n{number % 10}", [number, FILLER]) for number in range(300)]
        assert all("index" in receipt for receipt in upload(server, lines))
        publish(server, "app.secret", [0, SECRET])
        assert request(server, "DELETE", "/v1/events?subject=app.secret", timeout=PATIENCE).status == 200
    with served(loop_disk, COMPACTED) as server:
        assert losses(server, {f"app.n{number % 10}": number for number in range(300)})
