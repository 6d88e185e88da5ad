"""The file of durable consumers: damage costs one of them its place, never the start, and never silently."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.engine.consumer.delivery import Loss
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.embedded.consumers.consumer_store import STORE_VERSION, ConsumerState, ConsumerStore
from bus.errors import LogVersionError, StorageError, WrongKeyError
from bus.storage.cipher import hash_id

KEY = b"k" * 32


def state(name: str, **fields: Any) -> ConsumerState:
    about: dict[str, Any] = {"namespace": "app", "patterns": ["app.>"], "redelivery": (5.0,), "redelivery_count": 3}
    return ConsumerState(name=name, by_key=False, **about, **({"cursor": 7} | fields))


def write(path: Path, *states: ConsumerState, key: bytes | None = None) -> None:
    store = ConsumerStore(path, key=key)
    store.save({found.name: msgspec.msgpack.encode(found) for found in states}, turn=1)
    store.close()


def read(path: Path, *, key: bytes | None = None) -> dict[str, ConsumerState]:
    store = ConsumerStore(path, key=key)
    try:
        return {found.name: found for found in store.load()}
    finally:
        store.close()


def change(path: Path, statement: str, *values: Any) -> None:
    with sqlite3.connect(path) as database:
        database.execute(statement, values)
    database.close()


@pytest.mark.parametrize("key", [None, KEY])
def test_what_is_written_is_read(tmp_path: Path, key: bytes | None) -> None:
    path = tmp_path / "consumers.db"
    pending = [KeptDelivery(3, 1), KeptDelivery(5, 2, "w-1", Loss.CROWD, True, 1_000)]
    first = state("a", pending=pending, paused=True, expires=3600.0, idle=1.5)
    write(path, first, state("b"), key=key)
    assert read(path, key=key) == {"a": first, "b": state("b")}


def test_a_state_never_takes_the_place_of_one_that_was_encoded_later(tmp_path: Path) -> None:
    path = tmp_path / "consumers.db"
    store = ConsumerStore(path, key=None)
    for turn, cursor in ((2, 9), (1, 3)):
        store.save({"a": msgspec.msgpack.encode(state("a", cursor=cursor))}, turn=turn)
    store.close()
    assert read(path)["a"].cursor == 9


def test_another_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "consumers.db"
    write(path, state("a"), key=KEY)
    with pytest.raises(WrongKeyError, match="check the secret key"):
        read(path, key=b"x" * 32)


@pytest.mark.parametrize("key", [None, KEY])
def test_every_flipped_byte_costs_one_consumer_its_place_and_skips_nothing(
    tmp_path: Path, key: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "consumers.db"
    write(path, state("a", pending=[KeptDelivery(3, 1)]), state("b"), key=key)
    with sqlite3.connect(path) as database:
        row = hash_id(b"a", key=key or b"").to_bytes(8, "big")
        ((body,),) = database.execute("SELECT state FROM consumer WHERE id = ?", (row,))
    database.close()
    for place in range(len(body)):
        flipped = body[:place] + bytes([body[place] ^ 0x11]) + body[place + 1 :]
        change(path, "UPDATE consumer SET state = ? WHERE id = ?", flipped, row)
        caplog.clear()
        store = ConsumerStore(path, key=key)
        found = {found.name: found for found in store.load()}
        assert found.pop("b") == state("b")
        assert len(caplog.records) == 1 and "oldest event left" in caplog.text
        assert store.has_forgotten("a") != bool(found), "it is there from the beginning on, or begins there"
        assert all((left.name, left.cursor, left.pending) == ("a", 1, []) for left in found.values())
        store.close()


@pytest.mark.parametrize("body", [b"\xc1", b"", None, "x", 7, b"\x80"])
@pytest.mark.parametrize("key", [None, KEY])
def test_a_row_that_is_none_is_remembered_until_its_consumer_is_back(
    tmp_path: Path, key: bytes | None, body: object
) -> None:
    path = tmp_path / "consumers.db"
    write(path, state("a"), state("b"), key=key)
    change(path, "UPDATE consumer SET state = ? WHERE id = ?", body, hash_id(b"a", key=key or b"").to_bytes(8, "big"))
    for _ in range(2):
        store = ConsumerStore(path, key=key)
        assert list(store.load()) == [state("b")]
        assert (store.has_forgotten("a"), store.has_forgotten("b")) == (True, False)
        store.close()
    store = ConsumerStore(path, key=key)
    assert len(list(store.load())) == 1
    store.save({"a": msgspec.msgpack.encode(state("a"))}, turn=1)
    assert not store.has_forgotten("a")
    store.close()
    assert read(path, key=key).keys() == {"a", "b"}


def test_a_state_under_a_wrong_id_is_believed_and_put_right(tmp_path: Path) -> None:
    path = tmp_path / "consumers.db"
    write(path, state("a"))
    change(path, "UPDATE consumer SET id = ?", b"12345678")
    store = ConsumerStore(path, key=None)
    assert list(store.load()) == [state("a")]
    store.save({"a": msgspec.msgpack.encode(state("a", cursor=9))}, turn=1)
    store.close()
    assert read(path) == {"a": state("a", cursor=9)}


@pytest.mark.parametrize(
    "statements",
    [["DROP TABLE consumer"], ["DROP TABLE consumer", "CREATE TABLE consumer (x)"]],
    ids=["no table", "other columns"],
)
def test_a_file_without_its_table_says_what_to_do(tmp_path: Path, statements: Sequence[str]) -> None:
    path = tmp_path / "consumers.db"
    write(path, state("a"))
    for statement in statements:
        change(path, statement)
    with pytest.raises(StorageError, match="move it away") as refusal:
        read(path)
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\0" + b"\xff" * 500])
def test_a_file_that_is_no_database_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "consumers.db"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="move it away"):
        read(path)


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "consumers.db"
    write(path, state("a"))
    change(path, f"PRAGMA user_version = {STORE_VERSION + 1}")
    with pytest.raises(LogVersionError, match="knows versions up to"):
        read(path)


def test_a_file_of_version_1_is_read_and_brought_up_by_the_first_write(tmp_path: Path) -> None:
    path = tmp_path / "consumers.db"
    old = {
        "name": "a", "namespace": "app", "patterns": ["app.>"], "redelivery": [5.0], "redelivery_count": 3,
        "by_key": False, "cursor": 7, "pending": [[3, 1], [5, 2]], "dead": [],
    }  # fmt: skip
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE consumer (id BLOB PRIMARY KEY, state BLOB) WITHOUT ROWID")
        database.execute("PRAGMA user_version = 1")
        for name in ("a", "b"):
            row = hash_id(name.encode(), key=b"").to_bytes(8, "big")
            database.execute("INSERT INTO consumer VALUES (?, ?)", (row, msgspec.msgpack.encode(old | {"name": name})))
    database.close()
    expected = {name: state(name, pending=[KeptDelivery(3, 1), KeptDelivery(5, 2)]) for name in ("a", "b")}
    for _ in range(2):
        assert read(path) == expected
    write(path, state("b", cursor=8))
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (STORE_VERSION,)
        assert database.execute("SELECT count(*) FROM consumer WHERE crc IS NULL").fetchone() == (0,)
    database.close()
    assert read(path) == expected | {"b": state("b", cursor=8)}
