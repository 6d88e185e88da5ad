"""Answers that have to be waited for: a task each, and whatever it raises becomes the answer."""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Coroutine
from functools import partial

from bus.server.http.responder import Responder

_tasks: set[Task[None]] = set()
"""The loop knows its tasks by weak references alone."""


def answer_later(responder: Responder, answer: Coroutine[object, object, None]) -> None:
    """Run *answer*, which sends something to *responder*, to its end, even if nobody is left to take what it finds."""
    task = asyncio.get_running_loop().create_task(answer)
    _tasks.add(task)
    task.add_done_callback(partial(_finish, responder))


def _finish(responder: Responder, task: Task[None]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        responder.run(task.result)
