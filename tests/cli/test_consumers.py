"""``bus consumers`` and ``bus dead`` against a real server."""

from __future__ import annotations

import json
import subprocess

import pytest

from bus import Client
from tests.cli.stored import give_up, on_a_terminal, publish
from tests.support import ServerProcess, run_bus


@pytest.fixture
def billed(server: ServerProcess) -> ServerProcess:
    """A server with five orders, of which the consumer `billing` has settled four and given up the third."""
    publish(server, [{"subject": "orders.paid", "payload": number} for number in range(5)])
    give_up(server)
    return server


def _run(server: ServerProcess, *args: str) -> subprocess.CompletedProcess[bytes]:
    return run_bus(*args, "--host", server.url)


def _lines(answer: subprocess.CompletedProcess[bytes]) -> list[dict[str, object]]:
    assert (answer.returncode, answer.stderr) == (0, b"")
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_consumers_are_listed_and_shown(billed: ServerProcess) -> None:
    [listed] = _lines(_run(billed, "consumers"))
    assert (listed["name"], listed["patterns"], listed["dead"]) == ("billing", ["orders.*"], 1)
    [shown] = _lines(_run(billed, "consumers", "show", "billing"))
    assert shown.keys() == listed.keys()
    assert _run(billed, "consumers", "why", "billing").stdout == b"no connection\n"


def test_a_terminal_gets_a_table_of_consumers(billed: ServerProcess) -> None:
    shown = on_a_terminal("consumers", "--host", billed.url)
    assert "billing" in shown and "no connection" in shown and "{" not in shown
    assert "patterns    orders.*" in on_a_terminal("consumers", "show", "billing", "--host", billed.url)


def test_a_consumer_is_made_changed_paused_and_resumed(billed: ServerProcess) -> None:
    subjects = ["--subject", "orders.*", "--subject", "orders.a"]
    assert _lines(_run(billed, "consumers", "edit", "mailer", *subjects, "--start", "oldest")) == []
    terms = ["--redelivery", "1s,5s", "--redelivery-count", "0", "--order", "key", "--expires", "7d"]
    assert _lines(_run(billed, "consumers", "edit", "mailer", *terms)) == []
    assert _lines(_run(billed, "consumers", "pause", "mailer")) == []
    [shown] = _lines(_run(billed, "consumers", "show", "mailer"))
    expected = {
        "patterns": ["orders.*", "orders.a"], "next_index": 1, "redelivery": "1s,5s", "redelivery_count": 0,
        "order": "key", "expires": "7d", "paused": True,
    }  # fmt: skip
    assert shown | expected == shown
    assert _run(billed, "consumers", "why", "mailer").stdout.startswith(b"paused")
    _lines(_run(billed, "consumers", "resume", "mailer"))
    _lines(_run(billed, "consumers", "edit", "mailer", "--order", "none", "--expires", "default"))
    [shown] = _lines(_run(billed, "consumers", "show", "mailer"))
    assert (shown["paused"], shown["order"], shown["expires"]) == (False, None, None)


def test_a_move_says_what_it_repeats_or_skips(billed: ServerProcess) -> None:
    said = {"from": 6, "to": 4, "repeats": 2, "skips": 0, "forgotten": 1}
    planned = _run(billed, "consumers", "move", "billing", "--to", "-2", "--dry-run")
    assert _lines(planned) == [said | {"moved": False}]
    assert _lines(_run(billed, "consumers", "move", "billing", "--to", "-2")) == [said | {"moved": True}]
    shown = on_a_terminal("consumers", "move", "billing", "--to", "newest", "--host", billed.url)
    assert "moved billing from 4 to" in shown and "0 events repeated, 2 skipped, 0 pending forgotten" in shown


def test_what_is_in_flight_is_listed_with_its_connection(billed: ServerProcess) -> None:
    _lines(_run(billed, "consumers", "move", "billing", "--to", "1"))
    with (
        Client(billed.url) as client,
        client.get("orders.*", ack="manual", consumer="billing", timeout=20) as events,
    ):
        event = next(events)
        [pending] = _lines(_run(billed, "consumers", "pending", "billing"))
        [connection] = _lines(_run(billed, "consumers", "connections", "billing"))
        assert (pending["event_id"], pending["state"], pending["connection"]) == (
            event.id, "in flight", connection["consumer_id"],
        )  # fmt: skip
        assert (connection["address"], connection["in_flight"]) == ("127.0.0.1", 1)
        assert "in flight" in on_a_terminal("consumers", "pending", "billing", "--host", billed.url)
        assert "127.0.0.1" in on_a_terminal("consumers", "connections", "billing", "--host", billed.url)


def test_a_deleted_consumer_is_gone(billed: ServerProcess) -> None:
    assert _lines(_run(billed, "consumers", "delete", "billing")) == []
    assert _lines(_run(billed, "consumers", "list")) == []
    again = _run(billed, "consumers", "delete", "billing")
    assert again.returncode == 1 and again.stderr.startswith(b"bus: consumer 'billing' doesn't exist")


def test_dead_events_are_listed_with_their_reason(billed: ServerProcess) -> None:
    [dead] = _lines(_run(billed, "dead", "list"))
    assert [dead[name] for name in ("consumer", "index", "subject", "attempts", "reason")] == [
        "billing", 3, "orders.paid", 1, "no such account",
    ]  # fmt: skip
    assert _lines(_run(billed, "dead", "list", "billing", "--index", "3")) == [dead]
    assert _lines(_run(billed, "dead", "list", "billing", "--index", "4")) == []
    shown = on_a_terminal("dead", "list", "--host", billed.url)
    assert "no such account" in shown and "{" not in shown


def test_a_redriven_event_is_delivered_again(billed: ServerProcess) -> None:
    assert _lines(_run(billed, "dead", "redrive", "billing")) == [{"redriven": 1}]
    assert _lines(_run(billed, "dead", "list")) == []
    with (
        Client(billed.url) as client,
        client.get("orders.*", ack="manual", consumer="billing", timeout=20) as events,
    ):
        event = next(events)
        event.ack()
    assert event.payload == 2


def test_a_dropped_event_is_dead_no_more(billed: ServerProcess) -> None:
    wrong = _run(billed, "dead", "drop", "billing", "--index", "4,5")
    assert (wrong.returncode, wrong.stdout) == (1, b'{"dropped":0}\n')
    assert wrong.stderr == b"bus: 2 of 2 events are not among the dead of billing\n"
    assert _lines(_run(billed, "dead", "drop", "billing", "--index", "3")) == [{"dropped": 1}]
    assert _lines(_run(billed, "dead", "list")) == []


@pytest.mark.parametrize(
    ("args", "line", "status"),
    [
        (["consumers", "show"], "bus: show needs the NAME of a consumer; see bus consumers --help", 2),
        (["consumers", "kill"], "bus: action: 'kill' is not one of 'list', 'show', 'why', 'pending', ", 2),
        (["consumers", "pause", "nobody"], "bus: consumer 'nobody' doesn't exist: say which patterns it reads", 1),
        (["consumers", "move", "nobody"], "bus: move needs to know where: --to oldest", 2),
        (["consumers", "move", "nobody", "--to", "+1"], "bus: consumer 'nobody' doesn't exist", 1),
        (["consumers", "edit", "x", "--to", "1"], "bus: --to goes with move; see bus consumers --help", 2),
        (["consumers", "move", "x", "--redelivery-count", "0"], "bus: --redelivery-count goes with edit", 2),
        (["consumers", "edit", "x", "--expires", "soon"], "bus: duration 'soon' can't be read", 2),
        (["consumers", "why", "a b"], "bus: consumer 'a b' doesn't exist", 1),
        (["dead", "drop"], "bus: drop needs the name of a CONSUMER; see bus dead --help", 2),
        (["dead", "list", "--index", "x"], "bus: --index x can't be read: write it like 7 or 7,9", 2),
        (["dead", "list", "nobody"], "bus: consumer 'nobody' doesn't exist", 1),
    ],
)
def test_mistakes_are_one_line(bus: ServerProcess, args: list[str], line: str, status: int) -> None:
    answer = _run(bus, *args)
    assert answer.stderr.decode().startswith(line) and answer.stderr.count(b"\n") == 1
    assert answer.returncode == status
