"""Checkpoints: where durable consumers are, written behind what they do.

    changed ─▶ dirty ──a quarter of a second──▶ encoded on the loop ─▶ written on a thread ─┐
                 ▲                                                                          │
                 └────────────── what changed meanwhile, or couldn't be written ────────────┘

A crash repeats what was settled since the last checkpoint, and skips nothing. States are numbered as they are encoded,
so that an older one that waits for the thread never takes the place of a newer one.
"""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from bus.engine.embedded.consumers.consumer_store import ConsumerStore
from bus.engine.embedded.consumers.no_consumer_store import NoConsumerStore
from bus.errors import StorageError

log = logging.getLogger("bus.engine")

FLUSH_SECONDS = 0.25
"""How far what is written may be behind: as much as a crash may repeat."""


class Checkpoints:
    """Writes consumers to *store*; *encode* gives the state of one by its name, empty if it is gone."""

    def __init__(
        self, store: ConsumerStore | NoConsumerStore, encode: Callable[[str], bytes], loop: AbstractEventLoop
    ) -> None:
        self._store = store
        self._encode = encode
        self._loop = loop
        self._dirty: set[str] = set()
        self._turn = 0
        self._timer: TimerHandle | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="consumers")
        self._writing: Future[None] | None = None

    def write(self, name: str, state: bytes) -> None:
        """Write the *state* of a consumer now, or remove it if that is empty. Raises `StorageError`."""
        self._store.save({name: state}, turn=self._next_turn())

    def forget(self, names: Iterable[str]) -> None:
        """Remove consumers, all of them or none. Raises `StorageError`."""
        self._store.save(dict.fromkeys(names, b""), turn=self._next_turn())

    def erase(self) -> None:
        """Leave nothing of what was removed in the file; on any thread. Raises `StorageError`."""
        self._store.erase()

    def write_behind(self, name: str) -> None:
        """Write the consumer with the others that have changed."""
        if name not in self._dirty:
            self._dirty.add(name)
            self._flush_later()

    def _flush_later(self) -> None:
        if self._timer is None and self._writing is None:
            self._timer = self._loop.call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        names, self._dirty = self._dirty, set()
        states = {name: self._encode(name) for name in names}
        self._writing = self._loop.run_in_executor(
            self._writer, partial(self._store.save, states, turn=self._next_turn())
        )
        self._writing.add_done_callback(lambda writing: self._flushed(writing, names))

    def _next_turn(self) -> int:
        self._turn += 1
        return self._turn

    def _flushed(self, writing: Future[None], names: set[str]) -> None:
        """Write what has changed meanwhile, and what could not be written, the next time."""
        self._writing = None
        if error := writing.exception():
            log.error("positions of consumers are not written: %s", error)
            self._dirty |= names
        if self._dirty:
            self._flush_later()

    def finish(self) -> None:
        """Write nothing more behind; what is under way is written."""
        if self._timer:
            self._timer.cancel()
        self._writer.shutdown(wait=True)

    def close(self, names: Iterable[str]) -> None:
        """Write the consumers *names*, and those that have changed, and close the file."""
        try:
            states = {name: self._encode(name) for name in self._dirty | set(names)}
            self._store.save(states, turn=self._next_turn())
        except StorageError as error:
            log.error("%s", error)
        self._store.close()

    def __repr__(self) -> str:
        return f"<Checkpoints in {self._store!r}, {len(self._dirty)} to write>"
