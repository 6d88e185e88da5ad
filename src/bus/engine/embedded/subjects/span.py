"""Where the subjects lie that patterns may take, in the order of their bytes.

app.a   app.b.x   app.b.y   app.c         app.b.*: only what lies between app.b. and what follows it is read
          └───────────┘
"""

from __future__ import annotations

from dataclasses import dataclass

from bus.subject import Pattern

_BEHIND = b"\xff"
"""Comes behind all that UTF-8 may go on with."""


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` on, and before ``end``."""

    start: bytes
    end: bytes

    @classmethod
    def of(cls, *patterns: Pattern) -> Span:
        """The span of all *patterns*."""
        prefixes = [_literal(pattern) for pattern in patterns]
        return cls(min(prefixes), max(prefixes) + _BEHIND)


EVERYTHING = Span(b"", _BEHIND)
"""All subjects lie here."""


def _literal(pattern: Pattern) -> bytes:
    """What comes before the first wildcard."""
    text, _, _ = pattern.text.removesuffix(">").partition("*")
    return text.encode()


def as_glob(pattern: Pattern) -> str:
    """What SQLite compares subjects with; its `*` takes dots as well. No other character means anything to it."""
    return f"{pattern.text[:-1]}*" if pattern.text.endswith(">") else pattern.text
