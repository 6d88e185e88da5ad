"""How many subjects a namespace has, by the rows of its table.

To count takes the longer the more there are, and nothing that is published is to wait for it or to pay for it. So they
are counted on the table's thread when somebody asks and rows have changed since, for who asks next.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable
from functools import partial

from bus.engine.embedded.subjects.span import Span
from bus.engine.embedded.subjects.store import SubjectStore
from bus.patterns import DEAD_SEGMENT

_NEVER = -1
"""Before any generation of rows."""

InThread = Callable[[Callable[[], int]], "Future[int]"]


class SubjectNumber:
    """``last`` is how many subjects the namespace *name* had, in *store*, when they were counted; None before that.

    Those of dead letters don't count, for no wildcard takes them.
    """

    def __init__(self, name: str, store: SubjectStore) -> None:
        dead = f"{name}.{DEAD_SEGMENT}".encode()
        self._count = partial(store.count_outside, Span(dead + b".", dead + b"/"))
        self._of = _NEVER
        self.last: int | None = None

    def forget(self) -> None:
        """The rows are others."""
        self._of = _NEVER

    def update(self, generation: int, in_thread: InThread) -> None:
        """Have them counted *in_thread*, if they weren't since rows are of *generation*."""
        if generation != self._of:
            self._of = generation
            in_thread(self._count).add_done_callback(self._note)

    def _note(self, done: Future[int]) -> None:
        if not (done.cancelled() or done.exception()):  # what is wrong with the file, its next write meets
            self.last = done.result()

    def __repr__(self) -> str:
        return f"<SubjectNumber {self.last}>"
