"""The table of the latest indexes is a dictionary in less memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.embedded.compaction.latest_indexes import DIGEST_BYTES, LatestIndexes

digests = st.integers(0, 40).map(lambda number: bytes([number % 3]) + b"\0" * 7 + bytes([number]) * 8)
"""Of which many would be in the same slot."""


@given(st.lists(st.tuples(digests, st.integers(1, 1 << 60)), max_size=47), digests)
def test_it_is_a_dictionary(pairs: list[tuple[bytes, int]], other: bytes) -> None:
    table, latest = LatestIndexes(64), dict(pairs)
    for digest, index in pairs:
        table.put(digest, index)
    assert {digest: table.get(digest) for digest in latest} == latest
    assert (table.get(other), len(table)) == (latest.get(other, 0), len(latest))


def test_it_says_when_it_is_full() -> None:
    table = LatestIndexes(64)
    for number in range(48):
        assert not table.is_full
        table.put(number.to_bytes(DIGEST_BYTES, "little"), number + 1)
    assert table.is_full
    assert repr(table) == "<LatestIndexes 48 of 64 slots>"
