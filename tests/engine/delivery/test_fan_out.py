"""Delivering commits to live subscriptions: in one turn as a rule, in slices when it is very much, always in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bus.config import Settings
from bus.engine.base import MUCH, Sink, Subscribe
from bus.engine.delivery.fan_out import TURN, FanOut
from bus.engine.embedded.engine import EmbeddedEngine
from bus.errors import BusError
from bus.event import Draft, index_in
from bus.frame import Format, join_frames
from bus.subject import Filter
from tests.engine.support import Publishing, Subscribing, batch


class Recorder:
    """A follower that is its own sink. ``failing`` lets writing raise."""

    def __init__(self, live: FanOut, *patterns: str, form: Format = Format.SSE) -> None:
        self.sink: Sink = self
        self.form = Filter.parse(patterns), form
        self.live = live
        self.writable = True
        self.failing = False
        self.data = b""
        self.behind: list[int] = []
        self.failed: BusError | None = None
        live.follow(self.form, self)

    def write(self, data: bytes, again: Callable[[], bytes] | None = None) -> None:
        if self.failing:
            raise RuntimeError("on purpose")
        self.data += data

    def tell(self, kind: str, data: Mapping[str, Any]) -> None: ...

    def end(self, reason: str) -> None: ...

    def fall_behind(self, index: int) -> None:
        self.behind.append(index)

    def interrupt(self, why: str) -> None: ...

    def fail(self, error: BusError) -> None:
        self.failed = error
        self.live.unfollow(self.form, self)

    @property
    def ids(self) -> list[str]:
        return [line[4:].decode() for line in self.data.splitlines() if line.startswith(b"id: ")]


async def turns(live: FanOut, until: Callable[[], bool]) -> int:
    """Let the loop go round until *until*; returns how often."""
    count = 0
    while not until():
        await asyncio.sleep(0)
        count += 1
        assert count < 10_000
    return count


def test_a_commit_is_delivered_in_its_turn() -> None:
    async def run() -> None:
        live = FanOut(asyncio.get_running_loop())
        one, all_of_it = Recorder(live, "app.a"), Recorder(live, "app.>")
        live.deliver([batch(1, ["app.a", "app.b"]), batch(3, ["app.a"])])
        assert not live.busy
        assert [index_in(event_id) for event_id in one.ids] == [1, 3]
        assert [index_in(event_id) for event_id in all_of_it.ids] == [1, 2, 3]

    asyncio.run(run())


@pytest.mark.parametrize("form", Format)
def test_what_has_expired_before_it_is_stored_is_not_delivered(form: Format) -> None:
    async def run() -> None:
        live = FanOut(asyncio.get_running_loop(), clock=lambda: 100)
        sink = Recorder(live, "app.a", form=form)
        live.deliver([batch(1, ["app.a", "app.a"], expires=[100, 101]), batch(3, ["app.a"], expires=[99])])
        assert sink.data == join_frames([batch(2, ["app.a"]).frames], form)

    asyncio.run(run())


@pytest.mark.parametrize("size", [8_000, 16_000])
def test_very_much_is_delivered_in_slices_and_in_order(size: int) -> None:
    async def run() -> None:
        live = FanOut(asyncio.get_running_loop())
        followers = [Recorder(live, f"app.*.x{number}", "app.last") for number in range(50)]
        live.deliver([batch(1, [f"app.s{number}.x{number % 50}" for number in range(size)])])
        assert live.busy
        live.deliver([batch(size + 1, ["app.last"])])
        woken: list[int] = []
        live.wait(Waker(lambda: woken.append(live.busy)))
        assert 1 < await turns(live, lambda: not live.busy) <= 50 * size / TURN + 5
        assert woken == [False]
        for number, follower in enumerate(followers):
            assert [index_in(event_id) for event_id in follower.ids] == [*range(number + 1, size + 1, 50), size + 1]

    asyncio.run(run())


class Waker:
    """A reader that waits."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake: Callable[[], Any] = wake


def test_one_that_fails_fails_alone() -> None:
    async def run() -> None:
        live = FanOut(asyncio.get_running_loop())
        good, bad = Recorder(live, "app.a"), Recorder(live, "app.a")
        bad.failing = True
        live.deliver([batch(1, ["app.a"])])
        live.deliver([batch(2, ["app.a"])])
        assert len(good.ids) == 2
        assert bad.failed and bad.failed.status == 500
        assert len(live) == 1

    asyncio.run(run())


def test_who_is_slow_goes_on_from_the_log_behind_what_it_got() -> None:
    async def run() -> None:
        live = FanOut(asyncio.get_running_loop())
        slow = Recorder(live, "app.a")
        slow.writable = False
        live.deliver([batch(1, ["app.a"]), batch(2, ["app.a"])])
        assert (len(slow.ids), slow.behind, len(live)) == (1, [2], 0)

    asyncio.run(run())


def test_much_is_not_handed_to_every_sink_but_read_by_each() -> None:
    async def run() -> None:
        live = FanOut(asyncio.get_running_loop())
        followers = [Recorder(live, "app.a") for _ in range(3)]
        live.deliver([batch(7, ["app.a"], payload=b'"%b"' % (b"x" * MUCH))])
        assert [(follower.ids, follower.behind) for follower in followers] == [([], [7])] * 3

    asyncio.run(run())


def join(engine: EmbeddedEngine, sink: Recorder, pattern: str) -> None:
    subscribing = Subscribing()
    engine.subscribe(Subscribe(filter=Filter.parse([pattern])), sink, subscribing)
    subscribing.start()


def test_nobody_joins_while_a_commit_is_still_being_delivered(tmp_path: Path) -> None:
    """One that begins behind the commit would get what is left of it, and one that has read it would get it twice."""
    path = {"path": str(tmp_path / "data"), "namespaces": "app", "fsync": "never"}

    async def run() -> None:
        loop = asyncio.get_running_loop()
        engine = EmbeddedEngine.open(Settings.read(path, {}).engine, loop)
        live = FanOut(loop)
        sinks = [Recorder(live, "app.>") for _ in range(40)]
        for number, sink in enumerate(sinks):
            join(engine, sink, f"app.*.x{number}")
        for _ in sinks:
            await asyncio.sleep(0)
        assert [found.subscribers for found in await engine.namespaces()] == [len(sinks)]
        published = Publishing()
        drafts = [Draft(subject=f"app.s{number}.x{number % 40}") for number in range(8_000)]
        engine.publish(drafts, published, now=1)
        await turns(live, lambda: bool(published.outcomes))
        assert not sinks[-1].ids
        late = Recorder(live, "app.>")
        join(engine, late, "app.*.x39")
        await turns(live, lambda: bool(sinks[-1].ids))
        engine.publish([Draft(subject="app.last.x39")], Publishing(), now=1)
        await turns(live, lambda: bool(late.ids))
        assert late.ids == sinks[-1].ids[-1:]
        engine.close()

    asyncio.run(run())
