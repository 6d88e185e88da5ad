"""The scheduled events of all namespaces: added, listed, cancelled."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import msgspec

from bus.engine.administration import Recurring, Scheduled, ScheduleDescription, SchedulePage
from bus.engine.base import unknown_namespace
from bus.engine.checked_draft import check_draft
from bus.engine.embedded.schedules.recurrence import Recurrence
from bus.engine.embedded.schedules.schedule import KeptSchedule, Late, new_schedule_id
from bus.engine.embedded.schedules.scheduler import Scheduler
from bus.engine.embedded.schedules.store import Place, ScheduleStore
from bus.errors import (
    ConflictError,
    InvalidEventError,
    InvalidParameterError,
    UnknownScheduleError,
)
from bus.event import Draft
from bus.subject import INBOX_NAMESPACE, parse_subject
from bus.units import LONGEST_DURATION, SECOND_NS, format_time, parse_whole
from bus.wire import Durability

LOOKED_AT = 1000
"""Schedules that are looked at for a page, whatever of them is wanted."""

_NAME = re.compile(r"(?!s_)[\w-]{1,64}", re.ASCII)
_PAGE = re.compile(r"([\w-]+),(\d{1,19}),(\d{1,19})")


class Schedules:
    """Those that *schedulers* keep, by namespace; *durability* says what keeping them stands for."""

    def __init__(self, schedulers: Mapping[str, Scheduler], durability: Callable[[str], Durability]) -> None:
        self._schedulers = schedulers
        self._durability = durability

    async def add(self, draft: Draft, *, due: int, now: int) -> Scheduled:
        if due > now + LONGEST_DURATION * SECOND_NS:
            raise InvalidParameterError("deliver_at is out of range: 100 years from now is the most")
        name, scheduler = self._check(draft, now=now)
        schedule = KeptSchedule(new_schedule_id(), max(due, 0), msgspec.json.encode(draft))
        durability = self._durability(name)
        await scheduler.run(partial(_put, schedule=schedule))
        return Scheduled(schedule.id, schedule.event().id or "", durability)

    async def set(self, name: str, recurring: Recurring, *, now: int) -> ScheduleDescription:
        if not _NAME.fullmatch(name):
            raise InvalidParameterError(
                f"{name[:80]!a} can't be the name of a schedule: "
                "1 to 64 letters, digits, '_' or '-', and no s_ at its beginning"
            )
        schedule = self._recurring(name, recurring, now=now)
        _, scheduler = self._check(recurring.draft, now=now)
        await self._check_name(name, scheduler)
        await scheduler.run(partial(_put, schedule=schedule))
        return _describe(schedule)

    def _recurring(self, name: str, recurring: Recurring, *, now: int) -> KeptSchedule:
        if recurring.draft.id:
            raise InvalidEventError("an event that recurs can't have an id: each time it gets one of its own")
        if recurring.late not in tuple(Late):
            raise InvalidParameterError(f"late {recurring.late[:80]!a} is not among {', '.join(Late)}")
        due = Recurrence.parse(recurring.cron, recurring.time_zone).next_after(now)
        if due is None:
            raise InvalidParameterError(f"cron {recurring.cron!a} never comes")
        event = msgspec.json.encode(recurring.draft)
        return KeptSchedule(name, due, event, recurring.cron, recurring.time_zone, Late(recurring.late))

    def _check(self, draft: Draft, *, now: int) -> tuple[str, Scheduler]:
        """The namespace of *draft*, which is in order, and its scheduler."""
        name, _ = parse_subject(draft.subject or "")
        if name == INBOX_NAMESPACE:
            raise InvalidEventError("what goes to an inbox can't be scheduled: nobody waits for so long")
        scheduler = self._schedulers.get(name)
        if scheduler is None:
            raise unknown_namespace(name)
        check_draft(draft, now=now)
        return name, scheduler

    async def _check_name(self, name: str, scheduler: Scheduler) -> None:
        """Raise `ConflictError` if *name* stands for something that another scheduler keeps."""
        found = await self._find(name, (one for one in self._schedulers.values() if one is not scheduler))
        if found:
            there = found[0].namespace.name
            raise ConflictError(f"schedule {name} publishes to namespace {there}: cancel it there first")

    # -- looking

    async def page(self, wanted: Callable[[str], bool], *, after: str = "", limit: int) -> SchedulePage:
        found: list[ScheduleDescription] = []
        begin, place = _read_page(after)
        left = LOOKED_AT
        for name in sorted(self._schedulers):
            scheduler = self._schedulers.get(name)  # its namespace may be deleted while others are looked at
            if name < begin or scheduler is None or scheduler.is_empty:
                continue
            rows = await scheduler.run(
                partial(ScheduleStore.page, after=place if name == begin else Place(-1, 0), limit=left)
            )
            for row, schedule in rows:
                about = _describe(schedule)
                if wanted(about.subject):
                    found.append(about)
                left -= 1
                if len(found) == limit or not left:
                    return SchedulePage(found, next=f"{name},{row.due},{row.rowid}")
        return SchedulePage(found)

    async def describe_one(self, schedule_id: str) -> ScheduleDescription:
        _, schedule = await self._get(schedule_id)
        return msgspec.structs.replace(_describe(schedule), payload=schedule.event().payload)

    async def _get(self, schedule_id: str) -> tuple[Scheduler, KeptSchedule]:
        found = await self._find(schedule_id, self._schedulers.values())
        if found is None:
            raise _unknown(schedule_id)
        return found

    async def _find(self, schedule_id: str, among: Iterable[Scheduler]) -> tuple[Scheduler, KeptSchedule] | None:
        for scheduler in list(among):
            if scheduler.is_empty or scheduler.namespace.name not in self._schedulers:
                continue
            if schedule := await scheduler.run(lambda store: store.find(schedule_id)):
                return scheduler, schedule
        return None

    async def cancel(self, schedule_id: str) -> None:
        scheduler, _ = await self._get(schedule_id)
        if not await scheduler.run(lambda store: store.cancel(schedule_id)):
            raise _unknown(schedule_id)

    def __iter__(self) -> Iterator[Scheduler]:
        return iter(self._schedulers.values())

    def __repr__(self) -> str:
        return f"<Schedules of {', '.join(self._schedulers)}>"


def _put(store: ScheduleStore, schedule: KeptSchedule) -> None:
    store.put(schedule)


def _describe(schedule: KeptSchedule) -> ScheduleDescription:
    event = schedule.event()
    return ScheduleDescription(
        schedule.id, event.subject or "", format_time(schedule.due), len(event.payload), key=event.key or "",
        cron=schedule.cron, time_zone=schedule.time_zone, late=schedule.late if schedule.recurs else "",
    )  # fmt: skip


def _unknown(schedule_id: str) -> UnknownScheduleError:
    return UnknownScheduleError(
        f"schedule {schedule_id[:80]!a} doesn't exist: it was delivered or cancelled, or never was"
    )


def _read_page(after: str) -> tuple[str, Place]:
    """Where a page begins. Raises `InvalidParameterError` for what no page said."""
    if not after:
        return "", Place(-1, 0)
    found = _PAGE.fullmatch(after)
    if not found:
        raise InvalidParameterError(f"after {after[:80]!a} isn't what the page before it said: begin without it")
    return found[1], Place(parse_whole(found[2], what="after", most=2**63 - 1), parse_whole(found[3], what="after"))
