"""The server's log on standard error: a line of text, or of JSON, for each thing that happens.

    2026-01-31 12:00:00,000 INFO bus.server listening on http://…
    {"time":"2026-01-31T12:00:00.000Z","level":"INFO","logger":"bus.server","message":"listening on http://…"}

A record may have ``fields``, which JSON has beside the message, for programs that look for one of them.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

from bus.config import LogFormat, LogLevel

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


def set_up_log(level: LogLevel, form: LogFormat) -> None:
    """Have everything that is logged at *level* or above written to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form is LogFormat.JSON else logging.Formatter(_TEXT))
    logging.basicConfig(level=_LEVELS[level], handlers=[handler])
