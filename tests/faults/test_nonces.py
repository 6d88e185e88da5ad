"""No nonce is used twice: who has two messages under one of them can tell what is in both."""

from __future__ import annotations

from bus.storage.cipher import CONTEXT, NONCE, OVERHEAD, Cipher, digest

BLOCK = 64
SEALS = 200


def nonces(encrypted: bytes) -> list[bytes]:
    """The nonce of each block."""
    return [encrypted[start : start + NONCE] for start in range(0, len(encrypted), BLOCK + OVERHEAD)]


def test_no_nonce_occurs_twice() -> None:
    used: list[bytes] = []
    for _ in range(SEALS):
        cipher = Cipher("always the same secret", block_size=BLOCK)
        used += nonces(cipher.encrypt(bytes(10 * BLOCK), context=bytes(CONTEXT), block_size=BLOCK))
        used += nonces(cipher.encrypt(bytes(10 * BLOCK), context=digest(b"elsewhere"), block_size=BLOCK))
    assert len(used) == len(set(used)) == SEALS * 20
