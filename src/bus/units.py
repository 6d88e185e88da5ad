"""Numbers, durations, sizes, rates and times: how people write them and how the program counts them.

Durations are seconds as ``float``, sizes are bytes, times are nanoseconds since the Unix epoch, UTC.

Each is matched as a whole before it is converted: ``int()`` and ``float()`` take blanks, signs, underscores and
digits of other scripts, and stop with errors of their own at thousands of digits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bus.errors import BusError, InvalidParameterError

SECOND_NS: Final = 1_000_000_000
BEGINNING = -(1 << 63)
NEVER = (1 << 63) - 1
"""The first and the last time that 64 bits hold, in the years 1677 and 2262."""

LONGEST_DURATION = 100 * 365 * 86400.0
LARGEST_NUMBER = 10**18
LARGEST_SIZE = 10**18

_WHOLE = re.compile(r"0|-?[1-9]\d{0,18}", re.ASCII)

_DURATION_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
}  # fmt: skip
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w)", re.ASCII)
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)

_SIZE_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "T": 1000**4,
               "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30, "TI": 1 << 40}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", re.ASCII | re.IGNORECASE)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)


def parse_whole(text: str, *, what: str, least: int = 0, most: int = LARGEST_NUMBER) -> int:
    """Read a whole number in decimal digits, without leading zeros, from *least* to *most*.

    Raises `InvalidParameterError` that names *what* the number is for.
    """
    number = int(text) if _WHOLE.fullmatch(text) else None
    if number is None or not least <= number <= most:
        raise InvalidParameterError(f"{what} {text[:80]!a} is not a whole number from {least} to {most}")
    return number


def parse_duration(text: str) -> float:
    """Read a duration such as ``500ms``, ``5s`` or ``1m30s``; a bare ``0`` is zero.

    Returns seconds. Raises `InvalidParameterError` for anything else. The notation is that of Go's
    ``time.ParseDuration`` with days and weeks added.
    """
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise InvalidParameterError(f"duration {text[:80]!r} can't be read: write it like 500ms, 5s or 1m30s")
    seconds = sum(float(number) * _DURATION_UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > LONGEST_DURATION:
        raise InvalidParameterError(f"duration {text[:80]!r} is out of range: 100 years are the most")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest usual notation: ``250ms``, ``5s``, ``1m30s``, ``2d``."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    parts = []
    for unit in ("d", "h", "m"):
        count, seconds = divmod(seconds, _DURATION_UNITS[unit])
        if count:
            parts.append(f"{count:.0f}{unit}")
    if seconds or not parts:
        parts.append(f"{seconds:g}s")
    return "".join(parts)


def parse_size(text: str) -> int:
    """Read a size in bytes such as ``4096``, ``64KB`` (1,000s) or ``64MiB`` (1,024s)."""
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise InvalidParameterError(f"size {text[:80]!r} can't be read: write it like 4096, 64KB or 64MiB")
    size = float(found[1]) * _SIZE_UNITS[found[2].upper()]
    if size > LARGEST_SIZE:
        raise InvalidParameterError(f"size {text[:80]!r} is out of range: 1,000,000 TB are the most")
    return int(size)


def format_size(size: float) -> str:
    """A size for people: ``512 B``, ``1.4 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if unit != "B" else f"{size:.0f} B"
        size /= 1000
    return f"{size:.3g} TB"


@dataclass(frozen=True, slots=True)
class Rate:
    """So much in so many seconds; all of it may come at once, and no more until some of the time has passed."""

    amount: int
    seconds: float = 1.0

    @property
    def cost(self) -> float:
        """Seconds that one of it takes."""
        return self.seconds / self.amount

    def __str__(self) -> str:
        time = format_duration(self.seconds)
        return f"{self.amount}/{time[1:] if time in ('1s', '1m', '1h', '1d') else time}"


def parse_rate(text: str) -> Rate:
    """Read a rate such as ``500/s``, ``5MB/s`` or ``10000/10m``.

    Raises `InvalidParameterError` for anything else, and for a rate of nothing.
    """
    amount, _, time = text.partition("/")
    try:
        rate = Rate(parse_size(amount), parse_duration(time if time[:1].isdigit() else f"1{time}"))
    except BusError:
        rate = Rate(0)
    if not rate.amount or not rate.seconds:
        raise InvalidParameterError(f"rate {text[:80]!r} can't be read: write it like 500/s, 5MB/s or 10000/10m")
    return rate


def parse_time(text: str) -> int:
    """Read an RFC 3339 time with up to nine digits of fraction, of the years 1 to 9999 in UTC.

    Returns nanoseconds since the epoch. A leap second counts as the second after it, as it does in Unix time.
    Raises `InvalidParameterError` when *text* is not such a time.
    """
    found = _TIME.fullmatch(text)
    if not found:
        raise InvalidParameterError(f"time {text[:80]!r} can't be read: write it like 2026-01-31T12:00:00Z")
    try:
        whole = _whole_seconds(found)
    except (ValueError, OverflowError):
        raise InvalidParameterError(f"time {text!r} doesn't exist: a field is out of its range") from None
    return (whole - _EPOCH) // _SECOND * SECOND_NS + int((found[7] or "").ljust(9, "0"))


def _whole_seconds(found: re.Match[str]) -> datetime:
    """The time in UTC without its fraction. Raises `ValueError` or `OverflowError` when it doesn't exist."""
    year, month, day, hour, minute, second = map(int, found.group(1, 2, 3, 4, 5, 6))
    leap = second == 60
    whole = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC) - _offset(found) + leap * _SECOND
    if leap and (whole.day, whole.hour, whole.minute) != (1, 0, 0):
        raise ValueError("a leap second is the last of a month in UTC")
    return whole


def _offset(found: re.Match[str]) -> timedelta:
    if not found[8]:
        return timedelta()
    offset = timedelta(hours=int(found[9]), minutes=int(found[10]))
    return -offset if found[8] == "-" else offset


def format_time(time_ns: int) -> str:
    """RFC 3339 in UTC with nine digits of fraction: ``2026-01-31T12:00:00.000000001Z``.

    The last second and the last time are remembered, because events come many to a second and many at once.
    """
    global _last_second, _last_time
    if time_ns == _last_time[0]:
        return _last_time[1]
    fraction = time_ns - _last_second[0]
    if not 0 <= fraction < SECOND_NS:
        seconds, fraction = divmod(time_ns, SECOND_NS)
        written = (_EPOCH + timedelta(seconds=seconds)).strftime(_FORM).rjust(19, "0")
        _last_second = time_ns - fraction, written
    _last_time = time_ns, f"{_last_second[1]}.{str(SECOND_NS + fraction)[1:]}Z"
    return _last_time[1]


_FORM = "%Y-%m-%dT%H:%M:%S"
_last_second = (0, "1970-01-01T00:00:00")
_last_time = (0, "1970-01-01T00:00:00.000000000Z")
