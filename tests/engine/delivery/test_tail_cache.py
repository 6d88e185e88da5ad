"""The tail in memory, beside a list of all that was committed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.delivery.tail_cache import TailCache
from bus.storage import Batch
from tests.engine.support import batch


@given(
    st.lists(st.lists(st.integers(1, 4), max_size=4), max_size=12),
    st.integers(0, 2000),
    st.integers(1, 1500),
    st.integers(1, 5),
)
def test_what_is_read_is_what_was_committed(commits: list[list[int]], capacity: int, limit: int, most: int) -> None:
    cache, everything = TailCache(capacity), list[Batch]()
    for commit in commits:
        fresh: list[Batch] = []
        for events in commit:
            before = fresh[-1] if fresh else everything[-1] if everything else None
            fresh.append(batch(before.next if before else 1, ["app.a"] * events))
        cache.extend(fresh)
        everything += fresh
    end = everything[-1].next if everything else 1
    kept = [index for index in range(1, end) if cache.read(index, limit, most)]
    assert kept == list(range(end - len(kept), end)), "what is kept has no hole and reaches to the end"
    sizes = [len(found.frames) for found in everything]
    assert sum(sizes) > capacity or len(kept) == end - 1, "nothing is dropped while there is room"
    assert not cache.read(end, limit, most)
    for index in kept:
        found = cache.read(index, limit, most)
        place = everything.index(found[0])
        assert found[0].first <= index < found[0].next
        assert found == everything[place : place + len(found)]
        assert len(found) <= most
        assert sum(len(each.frames) for each in found[:-1]) < limit, "the limit is passed by one batch at most"


def test_memory_stays_within_twice_the_capacity() -> None:
    cache = TailCache(10_000)
    for first in range(1, 2000):
        cache.extend([batch(first, ["app.a"])])
        assert cache._size <= 20_000
    assert cache.read(1999, 1, 1) and not cache.read(1, 1, 1)
