"""Deliveries as they go out: the stored frame, and which attempt it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from bus.engine.namespace import Namespace
from bus.frame import Format, extend_frame, join_frames, read_frame


def nth_attempt(frame: bytes, attempts: int) -> bytes:
    """*frame* as it is delivered for the nth time."""
    return extend_frame(frame, b',"attempts":%d' % attempts)


def first_attempt(frame: bytes) -> bytes:
    """*frame* as it is delivered at first, as most are."""
    return frame[:-3] + _FIRST


_FIRST = extend_frame(b"}\n\n", b',"attempts":1')


def made_again(namespace: Namespace, frames: Sequence[bytes], form: Format) -> Callable[[], bytes]:
    """What makes the bytes of these deliveries once more, from the log."""
    deliveries = [(fields.index, fields.attempts) for fields in map(read_frame, frames)]
    # A function within this one would keep *frames* too, once it is compiled.
    return partial(_make_again, namespace, deliveries, form)


def _make_again(namespace: Namespace, deliveries: Sequence[tuple[int, int]], form: Format) -> bytes:
    stored = [(namespace.frame(index), attempts) for index, attempts in deliveries]
    return join_frames([nth_attempt(frame, attempts) for frame, attempts in stored if frame], form)
