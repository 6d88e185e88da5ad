"""The lock of a table in memory, which goes to whoever waits for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from bus.engine.embedded.subjects.fair_lock import FairLock


def test_who_takes_it_again_and_again_lets_in_who_waits() -> None:
    lock, had = FairLock(), list[str]()

    def wait() -> None:
        with lock:
            had.append("who waits")

    with ThreadPoolExecutor(1) as other:
        for _ in range(100):
            with lock:
                waiting = other.submit(wait)
                while not lock.is_awaited:
                    time.sleep(0)
            with lock:
                had.append("who had it")
            waiting.result()
    assert had == ["who waits", "who had it"] * 100


def test_it_is_free_after_a_failure() -> None:
    lock = FairLock()
    try:
        with lock:
            raise ValueError
    except ValueError:
        assert repr(lock) == "<FairLock, free>"
    with lock:
        assert repr(lock) == "<FairLock, held>"
