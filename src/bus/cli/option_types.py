"""Kinds of values that options take: durations, headers, moments, indexes."""

from __future__ import annotations

import time

import click

from bus.errors import BusError
from bus.units import SECOND_NS, parse_duration, parse_time


class DurationType(click.ParamType[float]):
    """A duration such as ``500ms``, ``5s`` or ``1m30s``, in seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return value if isinstance(value, float) else parse_duration(value)
        except BusError as error:
            self.fail(error.message, param, ctx)


class DurationsType(click.ParamType[tuple[float, ...]]):
    """One duration or several, separated by commas, in seconds."""

    name = "durations"

    def convert(
        self, value: str | tuple[float, ...], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        return tuple(DurationType().convert(part, param, ctx) for part in value.split(","))


class HeaderType(click.ParamType[tuple[str, str]]):
    """``name=value``, as a pair; whether it can be a header is for the server to say."""

    name = "header"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not (name and equals):
            self.fail(f"{value[:80]!r} can't be read: write it like traceparent=00-4bf9", param, ctx)
        return name, text


_LONGEST_INDEX = 18
"""Digits; no index has more, and Python refuses to read thousands."""


def read_index(text: str) -> int | None:
    """An index of an event, None if *text* is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_INDEX else None


class MomentType(click.ParamType[int]):
    """A time, or an age such as ``15m``; in ns since the epoch."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return _read_moment(value)
        except BusError:
            self.fail(f"{value!r} is neither a time like 2026-01-31T12:00:00Z nor an age like 15m", param, ctx)


def _read_moment(text: str) -> int:
    if "-" in text:
        return parse_time(text)
    return time.time_ns() - int(parse_duration(text) * SECOND_NS)


class IndexRangeType(click.ParamType[tuple[int, int | None]]):
    """``7..9``, ``7..``, ``..9`` or ``7``: a first and a last index."""

    name = "indexes"

    def convert(
        self, value: str | tuple[int, int | None], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int | None]:
        if isinstance(value, tuple):
            return value
        first, dots, last = value.partition("..")
        begin = read_index(first or "1")
        end = read_index(last) if last else None
        if begin is None or (last and end is None) or not (first or last):
            self.fail(f"{value[:80]!r} can't be read: write indexes like 7..9, 7.., ..9 or 7", param, ctx)
        return begin, end if dots else begin
