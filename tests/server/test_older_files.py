"""Files of version 1, as an earlier Bus wrote them, are opened by every later one. They are never made anew.

``tests/data/version-1`` is a data directory with an event of each number from 0 to 5 on ``app.a``, ``app.b`` and
``app.c`` in turn, one on ``billing.paid``, and the durable consumer ``worker``, which acknowledged two events and
rejected the third. ``billing`` and ``live`` were made while the server ran, ``app`` was changed.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bus import Client
from bus.engine.embedded.consumers.consumer_store import ConsumerStore
from bus.engine.embedded.namespace_table import NamespaceTable
from tests.conftest import StartServer
from tests.support import run_bus

VERSION_1 = Path(__file__).parent.parent / "data" / "version-1"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the directory, for what is opened may be changed."""
    return Path(shutil.copytree(VERSION_1, tmp_path / "data"))


def version_of(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
    return int(version)


def test_they_are_of_version_1(old: Path) -> None:
    """What a later Bus would write in their place shows nothing."""
    assert (old / "namespaces.table").read_bytes().startswith(b"bus.namespaces 1 ")
    assert version_of(old / "consumers.db") == version_of(old / "app" / "subjects.db") == 1


def test_the_table_of_namespaces_is_read(old: Path) -> None:
    rows = NamespaceTable(old / "namespaces.table").rows
    found = [(row.name, row.state, row.settings.storage, str(row.settings.retention)) for row in rows.values()]
    assert found == [
        ("billing", "made", "disk", "10GB"),
        ("live", "made", "memory", "None"),
        ("app", "declared", "disk", "20GB,1000000"),
    ]
    assert (rows["billing"].settings.max_bytes, rows["billing"].settings.compact) == (10**9, "key")


def test_the_durable_consumers_are_read(old: Path) -> None:
    with closing(ConsumerStore(old / "consumers.db", key=None)) as store:
        (state,) = store.load()
    assert (state.name, state.namespace, state.patterns) == ("worker", "app", ["app.*"])
    assert (state.cursor, [delivery.index for delivery in state.pending]) == (5, [4])
    assert [(event.index, event.reason) for event in state.dead] == [(3, "no such account")]


def test_the_subjects_are_counted_as_they_were(old: Path, start_server: StartServer) -> None:
    """The table is derived, so a later Bus may make its own of the log."""
    with Client(start_server(old, namespaces=["app"]).url) as client:
        found = [(row.subject, row.events, row.last_index) for row in client.events.subjects("app.*")]
    assert found == [("app.a", 2, 4), ("app.b", 2, 5), ("app.c", 2, 6)]


def test_a_server_goes_on_with_all_of_it(old: Path, start_server: StartServer) -> None:
    assert run_bus("verify", "--path", old).returncode == 0
    server = start_server(old, namespaces=["app"])
    for _ in range(2):
        with Client(server.url) as client:
            assert client.namespaces.get("billing").quota == 10**9
            assert client.namespaces.get("live").storage == "memory"
            assert [event.payload for event in client.get("app.*", start="oldest", follow=False)] == [*range(6)]
            with client.get("app.*", ack="manual", consumer="worker") as events:
                assert next(events).payload == 3
        server.restart()
