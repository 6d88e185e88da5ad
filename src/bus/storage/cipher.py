"""Encryption at rest: XSalsa20-Poly1305 with the SHA-256 of a secret as the key.

A body is cut into blocks of ``block_size`` plaintext bytes (the last one may be shorter), each encrypted
on its own:

     stored   +--------+-----------------------------------------------+
     block    | nonce  |  secretbox                                    |
              | 24     |  16 (MAC) + 24 + up to block_size             |
              +--------+-----------------------------------------------+
     in the            |  context 16 | block u32 | blocks u32 | data   |
     secretbox         +-----------------------------------------------+

``secretbox`` authenticates what a block says but not where it stands, so every block says where it
stands: ``context`` is a digest of the place of the whole body (for a batch: the salt of its segment and
its header), ``block`` the number of this block, ``blocks`` how many there are. A block that was moved,
repeated, dropped or taken from another log opens, and is then refused because its place is another.

Nonces are 24 random bytes; with 192 bits they don't repeat (the NaCl documentation's own advice), and
nothing has to be remembered across restarts.

The digest that finds an event by its id is keyed too, by a key derived from the secret, so that whoever
has the files but not the secret can't confirm a guessed id.
"""

from __future__ import annotations

import os
from hashlib import blake2b, sha256
from struct import Struct

from nacl.bindings import crypto_secretbox, crypto_secretbox_open
from nacl.exceptions import CryptoError

DEFAULT_BLOCK = 4096
NONCE = 24
CONTEXT = 16
_PLACE = Struct("<16sII")
OVERHEAD = NONCE + 16 + _PLACE.size


class DecryptionError(Exception):
    """A block doesn't open with this key, or it stands in a place it wasn't encrypted for."""


class Cipher:
    """Encrypts and opens bodies with one secret.

    Parameters:
        secret: any text or bytes; the key is its SHA-256.
        block_size: plaintext bytes an encrypted block holds, for what is written from now on; what is
            stored keeps the size it was encrypted with.
    """

    __slots__ = ("_ids", "_key", "block_size")

    def __init__(self, secret: str | bytes, *, block_size: int = DEFAULT_BLOCK) -> None:
        if not secret:
            raise ValueError("the secret is empty")
        if not 64 <= block_size <= 1 << 24:
            raise ValueError(f"block size {block_size} is not between 64 and {1 << 24} bytes")
        self._key = sha256(secret.encode() if isinstance(secret, str) else secret).digest()
        self._ids = blake2b(key=self._key, digest_size=32, person=b"bus event ids").digest()
        self.block_size = block_size

    def encrypt(self, plain: bytes, *, context: bytes, block_size: int) -> bytes:
        """The encrypted blocks of *plain*, which only open again with the same *context* (16 bytes)."""
        blocks = count_blocks(len(plain), block_size)
        nonces = os.urandom(NONCE * blocks)
        encrypted: list[bytes] = []
        for block in range(blocks):
            nonce = nonces[NONCE * block : NONCE * (block + 1)]
            data = plain[block_size * block : block_size * (block + 1)]
            encrypted += (nonce, crypto_secretbox(_PLACE.pack(context, block, blocks) + data, nonce, self._key))
        return b"".join(encrypted)

    def open(self, encrypted: bytes, *, context: bytes, block_size: int) -> bytes:
        """The bytes that were encrypted with *context*; DecryptionError if any block is not in its place."""
        step = block_size + OVERHEAD
        blocks = -(-len(encrypted) // step)
        plain = []
        for block in range(blocks):
            data = self._open_block(encrypted[step * block : step * (block + 1)])
            if data[: _PLACE.size] != _PLACE.pack(context, block, blocks):
                raise DecryptionError(f"block {block} of {blocks} was encrypted for another place")
            plain.append(data[_PLACE.size :])
        return b"".join(plain)

    def hash_id(self, id: bytes) -> int:
        """The 64-bit digest under which an id is found again; useless without the secret."""
        return hash_id(id, key=self._ids)

    def _open_block(self, block: bytes) -> bytes:
        try:
            return crypto_secretbox_open(block[NONCE:], block[:NONCE], self._key)
        except (CryptoError, ValueError, TypeError) as error:
            raise DecryptionError("a block does not open with this key") from error

    def __repr__(self) -> str:
        return f"Cipher(block_size={self.block_size})"


def count_blocks(size: int, block_size: int) -> int:
    """How many blocks a body of *size* plaintext bytes takes."""
    return -(-size // block_size)


def encrypted_size(size: int, block_size: int) -> int:
    """The stored size of a body of *size* plaintext bytes."""
    return size + OVERHEAD * count_blocks(size, block_size)


def digest(data: bytes) -> bytes:
    """The context that ties encrypted blocks to *data*."""
    return blake2b(data, digest_size=CONTEXT, person=b"bus place").digest()


def hash_id(id: bytes, *, key: bytes = b"") -> int:
    """BLAKE2b of an event id, cut to 64 bits."""
    return int.from_bytes(blake2b(id, digest_size=8, key=key).digest(), "little")
