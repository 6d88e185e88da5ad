"""When an event recurs: a cron expression in a time zone.

The fields are those of Debian's cron (``minute hour day month weekday``), with its way through daylight saving time:

* an hour that is skipped: what was due within it is due right behind it;
* an hour that comes twice: what names an hour is due once, what recurs every hour or more often is due in both.

Source: cron(8) of Debian, "Daylight Saving Time and other time changes", as CronSim carries it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from bus.errors import InvalidParameterError
from bus.units import SECOND_NS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """The times that *cron* means in *time_zone*; make it with `Recurrence.parse`."""

    cron: str
    time_zone: str

    @classmethod
    def parse(cls, cron: str, time_zone: str) -> Recurrence:
        """Raises `InvalidParameterError` if *cron* can't be read or *time_zone* isn't known."""
        zone = _zone(time_zone)
        try:
            CronSim(cron, _EPOCH.astimezone(zone))
        except CronSimError as error:
            raise InvalidParameterError(
                f"cron {cron[:80]!a} can't be read ({error}): "
                "write minute, hour, day, month and weekday, like 0 9 * * MON"
            ) from None
        return cls(cron, time_zone)

    def next_after(self, time: int) -> int | None:
        """The first time after *time*, both in ns since the epoch; None if there is none."""
        begin = (_EPOCH + timedelta(seconds=time // SECOND_NS)).astimezone(_zone(self.time_zone))
        try:
            found: datetime = next(CronSim(self.cron, begin))
        except StopIteration:
            return None
        return round(found.timestamp()) * SECOND_NS


@lru_cache(64)
def _zone(name: str) -> ZoneInfo:
    """Raises `InvalidParameterError` for a time zone that the IANA database doesn't have."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidParameterError(
            f"time zone {name[:80]!a} isn't known: name one like Europe/Berlin, or UTC"
        ) from None
