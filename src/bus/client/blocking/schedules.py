"""Events that are published later: listed, cancelled, set to recur."""
# Generated from bus/client/aio/schedules.py by `make generate`: change that one.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bus.client.blocking.calls import Calls
from bus.client.core.get_options import subjects_in
from bus.client.core.outcomes import answer_as, check
from bus.client.core.schedules import (
    PATH,
    Late,
    Schedule,
    SchedulePage,
    encode_recurring,
    page_query,
    path_of,
)


class Schedules:
    """The schedules of a server, which `Client.schedules` has; ``put(…, delay=…)`` adds one."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self, subject: str | Sequence[str] = (), *, limit: int = 1000) -> list[Schedule]:
        """The schedules that are next, those first that are due first.

        Parameters:
            subject: a pattern such as ``orders.>``, or several of one namespace; by default all there are.
            limit: how many at most.

        Returns:
            The schedules, without their payloads.

        Raises:
            InvalidError: a pattern can't be understood.
            ConnectionFailedError: the server can't be reached.
        """
        found: list[Schedule] = []
        subjects, after = subjects_in(subject) if subject else (), ""
        while len(found) < limit:
            query = page_query(subjects, limit=limit - len(found), after=after)
            page = self._calls.ask(PATH, answer_as(SchedulePage), query=query)
            found += page.schedules
            if not (after := page.next):
                break
        return found

    def get(self, schedule_id: str) -> Schedule:
        """One schedule, with its payload.

        Parameters:
            schedule_id: its id, ``s_…``, or its name.

        Returns:
            The schedule.

        Raises:
            UnknownScheduleError: there is none, or none any more.
            ConnectionFailedError: the server can't be reached.
        """
        return self._calls.ask(path_of(schedule_id), answer_as(Schedule))

    def set(
        self,
        name: str,
        subject: str,
        payload: Any = None,
        *,
        cron: str,
        time_zone: str = "UTC",
        late: Late = "once",
        key: str | None = None,
        trace_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Schedule:
        """Have an event recur, in the place of what *name* stood for before.

        Parameters:
            name: what it is called: 1 to 64 of ``A-Z a-z 0-9 _ -``, and no ``s_`` at its beginning.
            subject: what the event is about.
            payload: anything msgspec can write as JSON.
            cron: minute, hour, day, month and weekday, such as ``"0 9 * * MON"``.
            time_zone: the time zone that *cron* is in, such as ``Europe/Berlin``.
            late: what becomes of an event that was due while the server was down: ``"once"`` publishes it when the
                server is back, ``"skip"`` leaves it out.
            key: refuses an event if there was one with this subject and key in the duplicate window.
            trace_id: is carried along.
            headers: go along beside the payload.

        Returns:
            The schedule, with its first time.

        Raises:
            InvalidError: this can't be an event, or recur.
            ConflictError: the name stands for events of another namespace.
            UnknownNamespaceError: the server doesn't serve the namespace of *subject*.
            StorageError: the server can't keep it.
            ConnectionFailedError: the server can't be reached.
        """
        fields = {"subject": subject, "payload": payload, "key": key, "trace_id": trace_id, "headers": headers}
        body = encode_recurring(fields, cron=cron, time_zone=time_zone, late=late)
        return self._calls.ask(path_of(name), answer_as(Schedule), method="PUT", body=body)

    def cancel(self, schedule_id: str) -> None:
        """Forget a schedule: if this returns, its event isn't published.

        Parameters:
            schedule_id: its id, ``s_…``, or its name.

        Raises:
            UnknownScheduleError: there is none: its event was published, or it was cancelled.
            ConflictError: its event is being published.
            ConnectionFailedError: the server can't be reached.
        """
        self._calls.ask(path_of(schedule_id), check, method="DELETE")

    def __repr__(self) -> str:
        return f"<Schedules of {self._calls!r}>"
