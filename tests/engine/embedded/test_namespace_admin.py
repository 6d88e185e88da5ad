"""Namespaces as they are made, changed, deleted and found again after a restart, against a dict."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ParamSpec, TypeVar

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bus.config import Settings
from bus.engine.administration import ConsumerChange, NamespaceChange
from bus.engine.base import Outcome
from bus.engine.embedded import namespace_admin
from bus.engine.embedded.engine import EmbeddedEngine
from bus.engine.embedded.log_namespace import LogNamespace
from bus.errors import BusError, ConfigError, ConflictError, UnknownNamespaceError
from bus.event import Draft
from bus.namespace import Compact, Storage
from bus.subject import Filter
from bus.wire import Durability

NAMES = st.sampled_from(["app", "a", "b", "c"])
T = TypeVar("T")
P = ParamSpec("P")


class Waiting:
    """A publisher, and what it was told."""

    def __init__(self) -> None:
        self.told: asyncio.Future[Sequence[Outcome]] = asyncio.get_running_loop().create_future()

    def stored(self, outcomes: Sequence[Outcome], durability: Durability) -> None:
        self.told.set_result(outcomes)

    def failed(self, error: BusError) -> None:
        self.told.set_exception(error)


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run *test* on a loop of its own."""

    @wraps(test)
    def run(*args: P.args, **options: P.kwargs) -> None:
        asyncio.run(test(*args, **options))

    return run


async def publish(engine: EmbeddedEngine, name: str) -> Outcome:
    waiting = Waiting()
    try:
        engine.publish([Draft(subject=f"{name}.a", payload=msgspec.Raw(b"1"))], waiting, now=time.time_ns())
    except BusError as error:
        return error
    return (await waiting.told)[0]


async def open_engine(place: Path, namespaces: str = "app", **flags: str) -> EmbeddedEngine:
    given = {"path": str(place), "namespaces": namespaces, "fsync": "never", **flags}
    return EmbeddedEngine.open(Settings.read(given, {}).engine, asyncio.get_running_loop())


class Namespaces(RuleBasedStateMachine):
    """``events`` has how many events each namespace holds, ``quotas`` its own quota if it has one."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.events = {"app": 0}
        self.quotas: dict[str, int | None] = {"app": None}
        self.memory: set[str] = set()
        self.engine = self.do(open_engine(Path(self.directory.name)))

    def do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.loop.run_until_complete(run())

    @rule(name=NAMES, quota=st.none() | st.integers(10**6, 10**9), storage=st.none() | st.sampled_from(Storage))
    def put(self, name: str, quota: int | None, storage: Storage | None) -> None:
        change = (
            NamespaceChange(storage=storage) if quota is None else NamespaceChange(storage=storage, max_bytes=quota)
        )
        is_in = Storage.MEMORY if name in self.memory else Storage.DISK
        if name in self.events and storage not in (None, is_in):
            with pytest.raises(ConflictError):
                self.do(self.engine.namespace_admin.change(name, change))
            return
        changed = self.do(self.engine.namespace_admin.change(name, change))
        assert changed.made == (name not in self.events)
        if changed.made:
            self.events[name], self.quotas[name] = 0, None
            self.memory |= {name} if storage is Storage.MEMORY else set()
        self.quotas[name] = self.quotas[name] if quota is None else quota

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        deleting = self.engine.namespace_admin.delete(name)
        if name == "app" or name not in self.events:
            with pytest.raises(ConflictError if name == "app" else UnknownNamespaceError):
                self.do(deleting)
        else:
            self.do(deleting)
            del self.events[name], self.quotas[name]
            self.memory.discard(name)

    @rule(name=NAMES)
    def publish(self, name: str) -> None:
        if name in self.events:
            assert not isinstance(self.do(publish(self.engine, name)), BusError)
            self.events[name] += 1
        else:
            assert isinstance(self.do(publish(self.engine, name)), UnknownNamespaceError)

    @rule(name=NAMES)
    def consume(self, name: str) -> None:
        if name in self.events:
            change = ConsumerChange(filter=Filter.parse([f"{name}.>"]))
            self.do(self.engine.consumers.change(f"of-{name}", change))

    @rule()
    def restart(self) -> None:
        self.engine.close()
        self.engine = self.do(open_engine(Path(self.directory.name)))
        self.events |= dict.fromkeys(self.memory, 0)

    @invariant()
    def all_is_as_it_was_said(self) -> None:
        found = self.do(self.engine.namespaces())
        assert {one.namespace: (one.events, one.quota) for one in found} == {
            name: (events, self.quotas[name]) for name, events in self.events.items()
        }
        directories = {path.name for path in Path(self.directory.name).iterdir() if path.is_dir()}
        assert directories == set(self.events) - self.memory
        assert {one.namespace for one in self.do(self.engine.consumers.describe())} <= set(self.events)
        assert self.engine.failure is None

    def teardown(self) -> None:
        self.engine.close()
        self.loop.close()
        self.directory.cleanup()


TestNamespaces = Namespaces.TestCase
TestNamespaces.settings = settings(max_examples=30, stateful_step_count=15)


@on_a_loop
async def test_whoever_publishes_while_it_is_deleted_has_a_receipt_or_learns_that_it_is_gone(tmp_path: Path) -> None:
    engine = await open_engine(tmp_path, fsync="always")
    await engine.namespace_admin.change("orders", NamespaceChange())
    under_way = [asyncio.ensure_future(publish(engine, "orders")) for _ in range(100)]
    await asyncio.sleep(0)
    deleting = asyncio.ensure_future(engine.namespace_admin.delete("orders"))
    while not deleting.done():
        outcome = await publish(engine, "orders")
        await asyncio.sleep(0)
        assert not isinstance(outcome, BusError) or isinstance(outcome, UnknownNamespaceError)
    assert not any(isinstance(outcome, BusError) for outcome in await asyncio.gather(*under_way))
    await deleting
    assert not (tmp_path / "orders").exists()
    engine.close()


@on_a_loop
async def test_a_deletion_that_a_disk_stops_is_finished_by_another_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await open_engine(tmp_path)
    admin = engine.namespace_admin
    await admin.change("orders", NamespaceChange())
    with monkeypatch.context() as broken:
        broken.setattr("shutil.rmtree", _refuse)
        with pytest.raises(BusError, match="orders can't be removed: no"):
            await admin.delete("orders")
    assert (tmp_path / "orders").exists()
    assert isinstance(await publish(engine, "orders"), UnknownNamespaceError)
    with pytest.raises(ConflictError, match="delete it again first"):
        await admin.change("orders", NamespaceChange())
    await admin.delete("orders")
    assert not (tmp_path / "orders").exists()
    engine.close()


def _refuse(*_: object) -> None:
    raise OSError(5, "No")


@on_a_loop
async def test_there_are_only_so_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespace_admin, "MOST_NAMESPACES", 2)
    engine = await open_engine(tmp_path)
    await engine.namespace_admin.change("orders", NamespaceChange())
    with pytest.raises(ConflictError, match="has 2 namespaces already"):
        await engine.namespace_admin.change("more", NamespaceChange())
    engine.close()


@on_a_loop
async def test_one_that_can_not_be_opened_is_not_made(tmp_path: Path) -> None:
    engine = await open_engine(tmp_path)
    (tmp_path / "orders").write_text("in the way")
    with pytest.raises(BusError):
        await engine.namespace_admin.change("orders", NamespaceChange())
    engine.close()
    again = await open_engine(tmp_path)
    assert [one.namespace for one in await again.namespaces()] == ["app"]
    again.close()


@on_a_loop
async def test_a_server_starts_without_flags_once_some_were_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no namespaces are declared"):
        await open_engine(tmp_path, "")
    engine = await open_engine(tmp_path)
    await engine.namespace_admin.change("orders", NamespaceChange())
    engine.close()
    again = await open_engine(tmp_path, "")
    assert [one.namespace for one in await again.namespaces()] == ["orders"]
    await again.namespace_admin.delete("orders")
    assert await again.namespaces() == []
    again.retain(now=time.time_ns())
    again.close()


@on_a_loop
async def test_what_was_made_elsewhere_can_not_be_declared(tmp_path: Path) -> None:
    engine = await open_engine(tmp_path)
    await engine.namespace_admin.change("live", NamespaceChange(storage=Storage.MEMORY))
    engine.close()
    with pytest.raises(ConfigError, match="namespace live was made in memory: declare it so"):
        await open_engine(tmp_path, "app,live")


@on_a_loop
async def test_nothing_is_written_for_a_change_that_changes_nothing(tmp_path: Path) -> None:
    engine = await open_engine(tmp_path)
    await engine.namespace_admin.change("app", NamespaceChange())
    assert not (tmp_path / "namespaces.table").exists()
    engine.close()


@on_a_loop
async def test_nothing_of_one_that_was_deleted_stays_in_memory(tmp_path: Path) -> None:
    engine = await open_engine(tmp_path)
    await engine.namespace_admin.change("gone", NamespaceChange(compact=Compact.SUBJECT))
    await publish(engine, "gone")
    engine.retain(now=time.time_ns())
    await engine.namespace_admin.delete("gone")
    gc.collect()
    left = [found.name for found in gc.get_objects() if isinstance(found, LogNamespace)]
    assert "app" in left and "gone" not in left
    engine.close()
