"""Stopping workers on SIGTERM and SIGINT, in programs that left these signals alone.

    main thread, default handlers ──▶ installed ──signal──▶ handlers restored, every worker told to stop
                                       │
                                       └── the last worker ends ──▶ handlers restored

Handlers are process-wide and set by the main thread only, so the workers of a process share them: each enters
here, whatever thread or loop it runs in, and one signal stops them all. A signal that the program handles itself
is its own: nothing is done about it.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from bus.client.core import forks

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

Stop = Callable[[], object]


class _Shared:
    """The workers to stop, and the handlers that were there before.

    There is no lock, because a signal may come while the main thread holds it; every step is one operation
    on a dict.
    """

    def __init__(self) -> None:
        self._stops: dict[object, Stop] = {}
        self._before: dict[int, Any] = {}
        forks.on_fork(self._forked)

    def enter(self, stop: Stop) -> object:
        """Have *stop* called on the first signal; returns what `leave` takes."""
        token = object()
        self._stops[token] = stop
        if _is_main_thread():
            self._install()
        return token

    def leave(self, token: object) -> None:
        self._stops.pop(token, None)
        if not self._stops and _is_main_thread():
            self._restore()

    def _forked(self) -> None:
        """The workers are the parent's, and a child that is told to stop has to."""
        self._stops.clear()
        self._restore()

    def _install(self) -> None:
        for number in STOP_SIGNALS:
            before = signal.getsignal(number)
            if number not in self._before and _is_default(number, before):
                self._before[number] = before
                signal.signal(number, self._handle)

    def _restore(self) -> None:
        while self._before:
            number, before = self._before.popitem()
            if signal.getsignal(number) == self._handle:  # the program may have set its own meanwhile
                signal.signal(number, before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """The first signal; a second one acts as it did before."""
        self._restore()
        if not self._stops:  # the last worker ended in another thread, which can't restore handlers
            signal.raise_signal(number)
        for token in list(self._stops):
            if stop := self._stops.pop(token, None):
                stop()


_shared = _Shared()


@contextmanager
def stopping_on_signals(stop: Stop, *, wanted: bool) -> Iterator[None]:
    """Call *stop* on the first SIGTERM or SIGINT of the block, if that is *wanted* and the program leaves it to us."""
    if not wanted:
        yield
        return
    token = _shared.enter(stop)
    try:
        yield
    finally:
        _shared.leave(token)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_default(number: int, handler: Any) -> bool:
    """Whether *handler* is the one a program has that never set any; ``asyncio.run`` has one of its own for SIGINT."""
    if handler is signal.SIG_DFL or handler is signal.default_int_handler:
        return True
    runner = getattr(sys.modules.get("asyncio"), "Runner", ())
    return isinstance(handler, partial) and isinstance(getattr(handler.func, "__self__", None), runner)
