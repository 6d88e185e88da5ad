"""Work that several threads do side by side while a test does something else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def side_by_side(work: Callable[..., None], each: Iterable[Sequence[Any]]) -> Iterator[None]:
    """A thread does *work* for each of these arguments and an event, which is set when the block ends."""
    stopping = threading.Event()
    threads = [threading.Thread(target=work, args=(*arguments, stopping)) for arguments in each]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()
