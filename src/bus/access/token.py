"""Tokens: 256 random bits as text, which secret scanners recognise, and their digests, which are all that is kept.

    bus_ 6Yq1…(43 characters)…Zk 0aB3xZ
    │    │                       └ CRC-32 of what stands before it, in 6 characters
    │    └ 256 random bits in base 62
    └ says whose it is

The form is that of GitHub's tokens: a scanner finds the beginning, and the checksum tells a token from what only looks
like one. A digest of so many random bits needs neither salt nor rounds: nobody can guess what it is of.
"""

from __future__ import annotations

import re
import secrets
from hashlib import sha256
from zlib import crc32

PREFIX = "bus_"
RANDOM_BYTES = 32

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_LENGTH = 43
_CHECKSUM_LENGTH = 6
_TOKEN = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_LENGTH + _CHECKSUM_LENGTH}}}")
_HASH_PREFIX = "sha256:"
_HASH = re.compile(rf"{_HASH_PREFIX}[0-9a-f]{{64}}")


def new_token() -> str:
    """A token that nobody had before."""
    body = PREFIX + _encode(secrets.randbits(8 * RANDOM_BYTES), _LENGTH)
    return body + _checksum(body)


def is_token(text: str) -> bool:
    """Whether *text* is a whole token: of the right form, with the right checksum."""
    return bool(_TOKEN.fullmatch(text)) and text[-_CHECKSUM_LENGTH:] == _checksum(text[:-_CHECKSUM_LENGTH])


def digest_of(token: bytes) -> bytes:
    """What a token is found by: its SHA-256."""
    return sha256(token).digest()


def hash_of(token: str) -> str:
    """The digest of *token* as token files have it."""
    return _HASH_PREFIX + digest_of(token.encode()).hex()


def read_hash(text: str) -> bytes | None:
    """The digest that *text* is, as token files have it; None if it is none."""
    return bytes.fromhex(text.removeprefix(_HASH_PREFIX)) if _HASH.fullmatch(text) else None


def _checksum(body: str) -> str:
    return _encode(crc32(body.encode()), _CHECKSUM_LENGTH)


def _encode(number: int, length: int) -> str:
    """*number* in base 62, with zeros before it."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
