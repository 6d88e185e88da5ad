"""What a forked child does with clients it inherited.

A fork copies the sockets of its parent, and the locks as they were held by threads that the child doesn't have.
So each client and stream is told in the child: it drops the connections without a word on the wire, because
closing one in earnest would close the parent's, and makes its own when it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

_in_child: set[WeakMethod[Callable[[], Any]]] = set()
_kept: list[object] = []


def on_fork(method: Callable[[], None]) -> None:
    """Have *method* called in a forked child, for as long as its object lives."""
    _in_child.add(WeakMethod(method, _in_child.discard))


def keep(connection: object) -> None:
    """Keep what belongs to the parent's event loop from being taken apart in the child.

    The child shares the kernel's table of what that loop waits for: closing a transport here would take its
    socket out of the table of the parent.
    """
    _kept.append(connection)


def _tell() -> None:
    for found in list(_in_child):
        if (method := found()) is not None:
            method()


os.register_at_fork(after_in_child=_tell)
