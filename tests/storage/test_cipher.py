"""Encrypted blocks open in their place, with their key, and in no other way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.storage.cipher import CONTEXT, OVERHEAD, Cipher, DecryptionError, digest, encrypted_size, hash_id

CIPHER = Cipher("secret")
HERE, THERE = digest(b"here"), digest(b"there")
STEP = 64 + OVERHEAD


def encrypt(plain: bytes) -> bytes:
    return CIPHER.encrypt(plain, context=HERE, block_size=64)


def decrypt(encrypted: bytes, *, cipher: Cipher = CIPHER, context: bytes = HERE) -> bytes:
    return cipher.open(encrypted, context=context, block_size=64)


@given(st.binary(min_size=1, max_size=500))
def test_what_is_encrypted_opens_again(plain: bytes) -> None:
    encrypted = encrypt(plain)
    assert decrypt(encrypted) == plain
    assert len(encrypted) == encrypted_size(len(plain), 64)
    assert encrypted != encrypt(plain)


def test_the_block_size_is_the_plaintext_a_block_holds() -> None:
    assert len(CIPHER.encrypt(bytes(8192), context=HERE, block_size=4096)) == 2 * (4096 + OVERHEAD)
    assert Cipher("secret").block_size == 4096


def test_a_text_and_its_bytes_are_one_secret() -> None:
    assert decrypt(encrypt(b"plain"), cipher=Cipher(b"secret")) == b"plain"


def test_another_key_does_not_open() -> None:
    with pytest.raises(DecryptionError, match="does not open with this key"):
        decrypt(encrypt(b"plain"), cipher=Cipher("Secret"))


def test_another_place_does_not_open() -> None:
    with pytest.raises(DecryptionError, match="encrypted for another place"):
        decrypt(encrypt(b"plain"), context=THERE)


def blocks_of(encrypted: bytes) -> list[bytes]:
    return [encrypted[at : at + STEP] for at in range(0, len(encrypted), STEP)]


FOUR = blocks_of(encrypt(bytes(range(256))))
OTHER = blocks_of(encrypt(bytes(256)))
NOT_WHAT_WAS_ENCRYPTED = {
    "moved": [FOUR[1], FOUR[0], FOUR[2], FOUR[3]],
    "repeated": [FOUR[0], FOUR[0], FOUR[2], FOUR[3]],
    "repeated at the end": [*FOUR, FOUR[3]],
    "first dropped": FOUR[1:],
    "last dropped": FOUR[:-1],
    "middle dropped": [FOUR[0], FOUR[2], FOUR[3]],
    "cut": [*FOUR[:-1], FOUR[3][:-1]],
    "nonce only": [*FOUR[:-1], FOUR[3][:24]],
}


@pytest.mark.parametrize("name", NOT_WHAT_WAS_ENCRYPTED)
def test_blocks_that_are_not_in_their_place_are_refused(name: str) -> None:
    with pytest.raises(DecryptionError):
        decrypt(b"".join(NOT_WHAT_WAS_ENCRYPTED[name]))


def test_the_control_for_that_opens() -> None:
    assert decrypt(b"".join(FOUR)) == bytes(range(256))


def test_every_flipped_bit_is_refused() -> None:
    encrypted = encrypt(bytes(100))
    for bit in range(8 * len(encrypted)):
        flipped = bytearray(encrypted)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecryptionError):
            decrypt(bytes(flipped))


def test_the_digest_of_an_id_takes_the_secret() -> None:
    digests = {CIPHER.hash_id(b"e_1"), Cipher("other").hash_id(b"e_1"), hash_id(b"e_1"), CIPHER.hash_id(b"e_2")}
    assert len(digests) == 4
    assert CIPHER.hash_id(b"e_1") == Cipher("secret").hash_id(b"e_1")
    assert all(0 <= digest < 1 << 64 for digest in digests)


@pytest.mark.parametrize(("secret", "block_size"), [("", 4096), ("secret", 63), ("secret", (1 << 24) + 1)])
def test_a_senseless_cipher_is_refused(secret: str, block_size: int) -> None:
    with pytest.raises(ValueError, match=r"secret is empty|block size"):
        Cipher(secret, block_size=block_size)


def test_the_secret_is_not_in_what_a_cipher_says_of_itself() -> None:
    assert repr(CIPHER) == "Cipher(block_size=4096)"
    assert len(HERE) == CONTEXT
