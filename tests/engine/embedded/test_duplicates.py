"""The duplicate window: by number, by time, and within its memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.engine.checked_draft import Key
from bus.engine.embedded import duplicates
from bus.engine.embedded.duplicates import FLOOR, Duplicates
from bus.errors import DuplicateKeyError
from bus.event import Receipt
from bus.units import SECOND_NS

START = 1_000 * SECOND_NS


def _key(number: int) -> Key:
    return "app.a", f"key-{number}"


def _receipt(number: int) -> Receipt:
    return Receipt(f"e_{number}", "", number)


def _window(*, size: int, keys: int, ttl: float | None = None) -> Duplicates:
    """A window in which so many keys were used, one each second."""
    window = Duplicates("app", size=size, ttl=ttl)
    for number in range(keys):
        window.store(_key(number), _receipt(number), now=START + number * SECOND_NS)
    return window


def _held(window: Duplicates, keys: int, now: int) -> list[int]:
    return [number for number in range(keys) if window.first(_key(number), now=now)]


def test_a_key_is_kept_for_its_number_or_its_age_whichever_is_longer() -> None:
    now = START + 199 * SECOND_NS
    assert _held(_window(size=3, keys=200), 200, now) == list(range(140, 200)), "the last minute"
    assert _held(_window(size=90, keys=200), 200, now) == list(range(110, 200)), "the last ninety"


def test_a_shorter_ttl_wins_and_a_size_of_zero_is_no_window() -> None:
    now = START + 199 * SECOND_NS
    assert _held(_window(size=90, keys=200, ttl=10), 200, now) == list(range(190, 200))
    assert _held(_window(size=0, keys=200), 200, now) == []


def test_memory_is_bounded_and_the_log_says_what_that_costs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duplicates, "MOST_KEY_BYTES", 20 * duplicates.KEY_BYTES)
    window = Duplicates("app", size=3, ttl=None)
    for number in range(1000):
        window.store(_key(number), _receipt(number), now=START + number)
    assert 15 < len(window) <= 21
    (line,) = caplog.messages
    assert line.startswith("namespace app: keys are forgotten")


@pytest.mark.parametrize("size", [0, 3, 90, 1000])
@pytest.mark.parametrize("down", [0, 30, 3600])
def test_a_restart_takes_up_the_same_window(size: int, down: int) -> None:
    now = START + (199 + down) * SECOND_NS
    before = _window(size=size, keys=200)
    after = Duplicates("app", size=size, ttl=None)
    used = [(_key(number), _receipt(number), START + number * SECOND_NS) for number in range(200)]
    after.refill(reversed(used), now=now)
    young = {number for number in range(200) if now - (START + number * SECOND_NS) < FLOOR}
    expected = (young | set(range(200 - min(size, 200), 200))) if size else set()
    assert set(_held(after, 200, now)) == expected
    assert expected <= set(_held(before, 200, now))


def test_a_key_that_is_used_again_counts_anew() -> None:
    window = _window(size=2, keys=2, ttl=0.5)
    window.store(_key(0), _receipt(7), now=START + 5 * SECOND_NS)
    window.store(_key(2), _receipt(8), now=START + 5 * SECOND_NS)
    assert window.first(_key(0), now=START + 5 * SECOND_NS) == _receipt(7)


steps = st.lists(
    st.tuples(st.sampled_from(["claim", "store", "store", "release", "wait"]), st.integers(0, 5), st.integers(1, 90)),
    max_size=60,
)


@given(steps, st.integers(0, 4), st.none() | st.integers(1, 100))
def test_a_window_beside_a_list_of_what_was_stored(
    steps: list[tuple[str, int, int]], size: int, ttl: int | None
) -> None:
    window, claimed, now = Duplicates("app", size=size, ttl=ttl), set[int](), START
    stored: dict[int, tuple[int, int]] = {}
    for place, (what, number, seconds) in enumerate(steps):
        match what:
            case "claim":
                if window.first(_key(number), now=now):
                    with pytest.raises(DuplicateKeyError):
                        window.claim([_key(number)], now=now)
                else:
                    assert window.claim([_key(number)], now=now) is (number not in claimed)
                    claimed.add(number)
            case "release":
                window.release(_key(number))
                claimed.discard(number)
            case "store":
                window.store(_key(number), _receipt(place), now=now)
                claimed.discard(number)
                stored.pop(number, None)
                stored[number] = place, now
            case "wait":
                now += seconds * SECOND_NS
        newest = list(stored)[::-1]
        for found in range(6):
            receipt = window.first(_key(found), now=now)
            place_then, since = stored.get(found, (0, 0))
            age = now - since
            if receipt:
                assert receipt == _receipt(place_then), "the receipt is that of the last event with the key"
                assert size and (ttl is None or age < ttl * SECOND_NS)
            elif found in stored and size and (ttl is None or age < ttl * SECOND_NS):
                assert newest.index(found) >= size, "the last so many are always known"
                assert age >= FLOOR, "and so are those of the last minute"
