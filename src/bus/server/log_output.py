"""The server's log on standard error: a line of text, or of JSON, for each thing that happens.

    2026-01-31 12:00:00,000 INFO bus.server listening on http://…
    {"time":"2026-01-31T12:00:00.000Z","level":"INFO","logger":"bus.server","message":"listening on http://…"}

A record may have ``fields``, which JSON has beside the message, for programs that look for one of them.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from datetime import UTC, datetime

import msgspec

from bus.config import LogFormat, LogLevel
from bus.overview import LogLine
from bus.units import format_time

KEPT = 200
LONGEST_KEPT = 1000
"""Lines that are kept for whoever asks the server for them, and characters of each."""

MILLISECOND_NS = 1_000_000

_LEVELS = {LogLevel.DEBUG: 10, LogLevel.INFO: 20, LogLevel.WARN: 30, LogLevel.ERROR: 40}
_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class JsonLines(logging.Formatter):
    """A record as a line of JSON; a traceback is one of its fields."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time.removesuffix("+00:00") + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class RecentLines(logging.Handler):
    """Keeps the last lines, but for those of requests, which would leave no room for others."""

    def __init__(self, most: int = KEPT) -> None:
        super().__init__(logging.INFO)
        self.addFilter(lambda record: record.name != "bus.access")
        self.lines: deque[LogLine] = deque(maxlen=most)

    def emit(self, record: logging.LogRecord) -> None:
        time = format_time(int(record.created * 1000) * MILLISECOND_NS)
        self.lines.append(LogLine(time, record.levelname, record.name, record.getMessage()[:LONGEST_KEPT]))


def set_up_log(level: LogLevel, form: LogFormat) -> RecentLines:
    """Have everything that is logged at *level* or above written to standard error; returns who keeps its end."""
    recent = RecentLines()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form is LogFormat.JSON else logging.Formatter(_TEXT))
    logging.basicConfig(level=_LEVELS[level], handlers=[handler, recent])
    return recent
