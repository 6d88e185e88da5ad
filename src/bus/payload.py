"""What every decoder takes: the checks of a payload that reading it as raw JSON leaves out.

msgspec checks the syntax of a payload without building it. It passes over three things at which a subscriber's
decoder would stop, be it msgspec's own, Go's or a browser's: text that is not UTF-8, nesting beyond its stack, and
numbers that a double can't hold, such as ``1e400`` (JavaScript reads them as infinity, the others refuse them).

A payload may have megabytes, and all clients wait while it is looked at. So the looking is done by whole-text
operations, which cost a nanosecond or so a byte, and never by a step of Python for each bracket or number:

1. Most payloads are found harmless at a glance: too few brackets, no digit followed by an exponent of three digits,
   no 200 digits in a row. A number needs one or the other to be out of range.
2. Of the others, strings are cut out. Escapes are removed first, then what is left of the quotes opens and closes
   strings in turn.
3. Depth: opening brackets are written as 1, closing ones as 0, and eight of them are packed into a byte. Two tables
   tell by how much a byte changes the depth, and how far above its end it rose in between.
4. Numbers: what isn't a part of one is blanked, and the rest is read as doubles, of which none may be infinite.

Assumption: the text is syntactically right, because msgspec has read it.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from math import inf
from operator import add
from typing import Final

import msgspec

from bus.errors import InvalidEventError

DEEPEST_PAYLOAD: Final = 256

SHORT: Final = 2 * DEEPEST_PAYLOAD
"""Bytes up to which a payload has no room for brackets enough."""

_LONG_NUMBER: Final = b"0" * 200
"""Digits in a row below which a number with a two-digit exponent stays within a double."""

_LINE_BREAKS: Final = b"\r\n"
_CR, _LF = _LINE_BREAKS

_BRACKETS: Final = b'[]{}"'
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(_BRACKETS))
_BITS: Final = bytes.maketrans(b"[{]}", b"1100")
_DIGITS_ALIKE: Final = bytes.maketrans(b"123456789E", b"000000000e")
_NOT_NUMBERS: Final = bytes(byte if byte in b"0123456789.eE+-" else 0x20 for byte in range(256))


def check_encoding(text: bytes) -> None:
    """Raise `InvalidEventError` if *text* is not UTF-8."""
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise InvalidEventError(f"the body is not UTF-8: {error.reason} at byte {error.start}") from None


def check_payload(payload: msgspec.Raw) -> None:
    """Raise `InvalidEventError` if *payload*, which is JSON, is more than decoders take."""
    text = bytes(payload)
    if len(text) > SHORT and _is_too_deep(text):
        raise too_deep()
    if may_overflow(text) and may_overflow(bare := _without_strings(text)) and _overflows(bare):
        raise _out_of_range()


def is_harmless(text: bytes) -> bool:
    """Whether no payload within *text* can be refused by the checks of this module, if none is longer than `SHORT`."""
    return text.isascii() and not may_overflow(text)


def too_deep() -> InvalidEventError:
    return InvalidEventError(f"the event is nested deeper than {DEEPEST_PAYLOAD} levels")


def _out_of_range() -> InvalidEventError:
    return InvalidEventError("the event holds a number beyond what a double holds (1.8e308): send it as a string")


def _without_strings(text: bytes) -> bytes:
    """*text* with every string cut out."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(text.split(b'"')[::2])


# -- depth


def _is_too_deep(text: bytes) -> bool:
    return has_many_brackets(text) and depth(text) > DEEPEST_PAYLOAD


def has_many_brackets(text: bytes) -> bool:
    """Whether *text* has enough brackets to be too deep; ``find`` goes by machine words, ``count`` by bytes."""
    found = 0
    for bracket in (b"[", b"{"):
        at = text.find(bracket)
        while at >= 0 and found <= DEEPEST_PAYLOAD:
            found, at = found + 1, text.find(bracket, at + 1)
    return found > DEEPEST_PAYLOAD


def depth(text: bytes) -> int:
    """How deep the JSON *text* is nested."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Pairs of quotes that have nothing between them may go: what is inside a string stays inside.
    brackets = _without_strings(text.translate(None, _NOT_BRACKETS).replace(b'""', b"")).translate(_BITS)
    packed = _pack(brackets + b"0" * (-len(brackets) % 8))
    ends = accumulate(array("b", packed.translate(_CHANGE)))
    return max(map(add, ends, packed.translate(_RISE)), default=0)


def _pack(bits: bytes) -> bytes:
    """Eight digits to a byte; reading binary digits takes linear time."""
    return int(bits, 2).to_bytes(len(bits) // 8) if bits else b""


def _tables() -> tuple[bytes, bytes]:
    """For each byte of eight brackets, the change of depth over it, and its highest point above its end."""
    changes, rises = bytearray(), bytearray()
    for byte in range(256):
        path = list(accumulate(1 if byte >> bit & 1 else -1 for bit in range(7, -1, -1)))
        changes.append(path[-1] & 0xFF)
        rises.append(max(path) - path[-1])
    return bytes(changes), bytes(rises)


_CHANGE, _RISE = _tables()


# -- numbers


def may_overflow(text: bytes) -> bool:
    """Whether *text* holds what a number beyond a double has: an exponent of three digits, or many digits."""
    # ``in`` takes its operand for a number first, and catches the error; ``find`` doesn't, and is three times as fast.
    alike = text.translate(_DIGITS_ALIKE, b"+")
    if alike.find(b"0e000") >= 0:
        return True
    if len(text) <= len(_LONG_NUMBER):
        return False
    # A run of so many digits has one at some multiple of its length, which is quicker to look at than all.
    steps = alike[:: len(_LONG_NUMBER)]
    return steps.find(b"0") >= 0 and alike.find(_LONG_NUMBER) >= 0


def _overflows(bare: bytes) -> bool:
    """Whether JSON without its strings holds a number beyond a double."""
    words = bare.replace(b"true", b"").replace(b"false", b"").translate(_NOT_NUMBERS).decode().split()
    return inf in map(abs, map(float, set(words)))


def one_line(data: bytes) -> bytes:
    """JSON without line breaks, which it has only between its tokens."""
    return data.translate(None, _LINE_BREAKS) if _LF in data or _CR in data else data
