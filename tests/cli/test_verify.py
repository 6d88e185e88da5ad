"""``bus verify``: damage that was planted is found and named, and what is whole is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from tests.cli.stored import Stored, give_up, on_a_terminal, publish
from tests.support import ServerProcess, run_bus


@pytest.fixture
def damageable(stored: Stored, tmp_path: Path) -> Stored:
    """A copy of the directory that may be damaged."""
    shutil.copytree(stored.path, tmp_path / "data")
    return Stored(tmp_path / "data", stored.env)


def _flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 0x10
    file.write_bytes(data)


def _findings(answer: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    """Every line but the summary."""
    assert answer.stderr == b""
    *findings, summary = map(json.loads, answer.stdout.splitlines())
    assert summary["findings"] == len(findings)
    assert answer.returncode == (1 if findings else 0)
    return findings


def test_a_whole_directory_is_summed_up(stored: Stored) -> None:
    answer = stored.verify()
    summary = json.loads(answer.stdout)
    assert (summary["events"], summary["torn_bytes"], answer.returncode) == (253, 0, 0)
    assert summary["segments"] == len(stored.segments()) + len(stored.segments("orders"))
    shown = on_a_terminal("verify", "--path", stored.path, env=stored.env)
    assert "253 events in" in shown and "nothing is damaged or missing" in shown


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_flipped_bit_is_named_with_what_it_costs(damageable: Stored, place: float) -> None:
    file = damageable.segments()[0]
    offset = int(file.stat().st_size * place)
    _flip(file, offset)
    [finding] = _findings(damageable.verify())
    assert finding["file"] == str(file)
    assert isinstance(finding["offset"], int) and finding["offset"] <= offset
    assert f"events {finding['first_index']} to" in str(finding["text"]) or "event " in str(finding["text"])


def test_a_flipped_bit_in_the_header_costs_nothing(damageable: Stored) -> None:
    _flip(damageable.segments()[0], 20)
    [finding] = _findings(damageable.verify())
    assert (finding["offset"], finding["first_index"]) == (0, None)
    assert str(finding["text"]).endswith("no event is lost")


def test_a_missing_segment_is_named(damageable: Stored) -> None:
    first, second, *_ = damageable.segments()
    second.unlink()
    [finding] = _findings(damageable.verify())
    assert finding["file"] == str(second)
    assert finding["first_index"] == int(second.stem)
    assert "the segment is missing" in str(finding["what"])
    assert first.exists()


def test_a_cut_segment_is_named(damageable: Stored) -> None:
    file = damageable.segments()[0]
    size = file.stat().st_size
    with file.open("rb+") as opened:
        opened.truncate(size // 2)
    [finding] = _findings(damageable.verify())
    assert (finding["file"], finding["last_index"]) == (str(file), int(damageable.segments()[1].stem) - 1)


def test_damaged_consumers_are_named(damageable: Stored) -> None:
    file = damageable.path / "consumers.db"
    file.write_bytes(b"\0" * file.stat().st_size)
    assert [finding["file"] for finding in _findings(damageable.verify())] == [str(file)]


def test_checking_while_the_server_writes_finds_nothing(server: ServerProcess) -> None:
    publish(server, [{"subject": "orders.paid", "payload": number} for number in range(4)])
    give_up(server)
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            publish(server, [{"subject": "app.n", "payload": "x" * 100}] * 50)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            assert _findings(run_bus("verify", "--path", server.path)) == []
    finally:
        ended.set()
        writer.join()


def test_a_dump_of_a_damaged_log_is_refused_or_says_what_it_leaves_out(damageable: Stored, plain: Stored) -> None:
    whole = damageable.dump("--namespace", "app")
    file = damageable.segments()[0]
    _flip(file, file.stat().st_size // 2)
    refused = run_bus("dump", "--path", damageable.path, env=damageable.env)
    assert refused.returncode == 1
    assert f"{file} at byte" in refused.stderr.decode() and refused.stderr.count(b"\n") == 1
    args = ["--namespace", "app", "--skip-damaged"]
    left = run_bus("dump", "--path", damageable.path, *args, env=damageable.env)
    assert left.returncode == 1 and left.stderr.startswith(b"bus: left out: ")
    kept = left.stdout.splitlines()
    assert 0 < len(kept) < whole.count(b"\n") and set(kept) < set(whole.splitlines())
    assert run_bus("restore", "--path", plain.path, "--input", "-", stdin=left.stdout).returncode == 1
    saved = run_bus("restore", "--path", plain.path, "--input", "-", "--append", stdin=left.stdout)
    assert saved.returncode == 0
    ids = [json.loads(line)["id"] for line in kept]
    assert [json.loads(line)["id"] for line in plain.dump().splitlines()] == ids
