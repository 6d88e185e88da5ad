"""When a sync may hold the loop: the border has two sides, and one long sync is enough to leave."""

from __future__ import annotations

from bus.engine.embedded.sync_speed import FAST_SYNC, SLOW_SYNC, SyncSpeed


def speed_after(*seconds: float) -> SyncSpeed:
    speed = SyncSpeed()
    for found in seconds:
        speed.note(found)
    return speed


def test_a_disk_that_nobody_has_seen_is_slow_until_it_was_fast_for_some_commits() -> None:
    assert not SyncSpeed().is_fast
    assert not speed_after(FAST_SYNC / 5).is_fast
    assert speed_after(*[FAST_SYNC / 5] * 16).is_fast


def test_one_long_sync_is_enough_for_slow() -> None:
    assert not speed_after(*[FAST_SYNC / 5] * 16, 10 * SLOW_SYNC).is_fast


def test_between_the_borders_it_stays_as_it_was() -> None:
    between = [(FAST_SYNC + SLOW_SYNC) / 2] * 100
    assert speed_after(*[FAST_SYNC / 5] * 16, *between).is_fast
    assert not speed_after(*[2 * SLOW_SYNC] * 16, *between).is_fast


def test_it_is_fast_again_when_the_disk_is() -> None:
    assert speed_after(*[10 * SLOW_SYNC] * 16, *[FAST_SYNC / 5] * 64).is_fast
