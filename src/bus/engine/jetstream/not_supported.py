"""What this engine doesn't promise, and so refuses, with what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bus.engine.administration import (
    ChangedNamespace,
    NamespaceChange,
    Recurring,
    Scheduled,
    ScheduleDescription,
    SchedulePage,
)
from bus.engine.base import unknown_namespace
from bus.errors import ConflictError, NotSupportedError, UnknownScheduleError
from bus.event import Draft

NO_SCHEDULES = "events aren't published later on JetStream: leave out the delay, or use a server with --engine embedded"
NO_LAST = "start=last isn't offered on JetStream: use /v1/subjects and /v1/events, or a server with --engine embedded"
NO_DELETION = (
    "JetStream keeps its events without holes: they go by --retention alone, or use a server with --engine embedded"
)
NO_EXPIRY = "durable consumers on JetStream are kept until they are deleted: leave out expires"
NO_ORDER = "order=key isn't offered on JetStream: leave it out, or use a server with --engine embedded"


class NoSchedules:
    """There are none."""

    async def add(self, draft: Draft, *, due: int, now: int) -> Scheduled:
        raise NotSupportedError(NO_SCHEDULES)

    async def set(self, name: str, recurring: Recurring, *, now: int) -> ScheduleDescription:
        raise NotSupportedError(NO_SCHEDULES)

    async def page(self, wanted: Callable[[str], bool], *, after: str = "", limit: int) -> SchedulePage:
        """None."""
        return SchedulePage([])

    async def describe_one(self, schedule_id: str) -> ScheduleDescription:
        raise _unknown_schedule(schedule_id)

    async def cancel(self, schedule_id: str) -> None:
        raise _unknown_schedule(schedule_id)


class DeclaredNamespaces:
    """Those of the command line, of which there are neither more nor fewer while servers run."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = tuple(names)

    async def change(self, name: str, change: NamespaceChange) -> ChangedNamespace:
        raise NotSupportedError(
            f"namespace {name[:80]!a} can't be made or changed while servers run: name it with --namespaces"
        )

    async def delete(self, name: str) -> None:
        if name not in self._names:
            raise unknown_namespace(name)
        raise ConflictError(
            f"namespace {name} is declared on the command line: take it out there and restart, then delete its stream"
        )


def _unknown_schedule(schedule_id: str) -> UnknownScheduleError:
    return UnknownScheduleError(f"schedule {schedule_id[:80]!a} doesn't exist: there are none on JetStream")
