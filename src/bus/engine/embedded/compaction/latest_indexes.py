"""A table of digests and the latest index of each, in an amount of memory that is known before.

     digests   16 bytes a slot     | 5e…  |      | a1…  | 07…  |      |
     indexes   u64                 |  812 |    0 |   97 |  640 |    0 |         0: the slot is free

The first bytes of a digest say where to look for it; if another one is there it is in a slot behind that one (open
addressing with linear probing: Knuth, The Art of Computer Programming, volume 3, section 6.4). Digests are uniform, so
up to three quarters of the slots are used with some two looks each. A dictionary would take seven times the memory.
"""

from __future__ import annotations

DIGEST_BYTES = 16


class LatestIndexes:
    """A table of *slots*, a power of two; it has to be filled no further than until it ``is_full``, and some."""

    __slots__ = ("_digests", "_indexes", "_mask", "_used")

    def __init__(self, slots: int) -> None:
        self._mask = slots - 1
        self._digests = bytearray(DIGEST_BYTES * slots)
        self._indexes = memoryview(bytearray(8 * slots)).cast("Q")
        self._used = 0

    @property
    def is_full(self) -> bool:
        """Whether three quarters of the slots are used."""
        return 4 * self._used >= 3 * len(self._indexes)

    def put(self, digest: bytes, index: int) -> None:
        """The latest index of *digest* is this one."""
        slot = self._slot(digest)
        if not self._indexes[slot]:
            self._digests[DIGEST_BYTES * slot : DIGEST_BYTES * (slot + 1)] = digest
            self._used += 1
        self._indexes[slot] = index

    def get(self, digest: bytes) -> int:
        """The latest index of *digest*; 0 if it isn't here."""
        return self._indexes[self._slot(digest)]

    def _slot(self, digest: bytes) -> int:
        """Where *digest* is, or would be."""
        slot = int.from_bytes(digest[:8], "little") & self._mask
        while self._indexes[slot]:
            if self._digests[DIGEST_BYTES * slot : DIGEST_BYTES * (slot + 1)] == digest:
                break
            slot = (slot + 1) & self._mask
        return slot

    def __len__(self) -> int:
        return self._used

    def __repr__(self) -> str:
        return f"<LatestIndexes {self._used} of {len(self._indexes)} slots>"
