"""Deliveries as they go out: the stored frame, and which attempt it is.

Clients that know core fields alone don't learn that: their frames go out as they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from bus.engine.namespace import Namespace
from bus.frame import Format, extend_frame, join_frames, read_frame


def nth_attempt(frame: bytes, attempts: int, form: Format) -> bytes:
    """*frame* as it is delivered for the nth time, to somebody who knows of that or doesn't."""
    if form is Format.CORE:
        return frame
    return extend_frame(frame, b',"attempts":%d' % attempts)


def first_attempt(frame: bytes, form: Format) -> bytes:
    """*frame* as it is delivered at first, as most are."""
    return frame if form is Format.CORE else frame[:-3] + _FIRST


_FIRST: Final = extend_frame(b"}\n\n", b',"attempts":1')


def made_again(namespace: Namespace, frames: Sequence[bytes], form: Format) -> Callable[[], bytes]:
    """What makes the bytes of these deliveries once more, from the log."""
    deliveries = [(fields.index, fields.attempts) for fields in map(read_frame, frames)]
    # A function within this one would keep *frames* too, once it is compiled.
    return partial(_make_again, namespace, deliveries, form)


def _make_again(namespace: Namespace, deliveries: Sequence[tuple[int, int]], form: Format) -> bytes:
    stored = [(namespace.frame(index), attempts) for index, attempts in deliveries]
    return join_frames([nth_attempt(frame, attempts, form) for frame, attempts in stored if frame], form)
