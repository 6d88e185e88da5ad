"""Reading heads and parameters by themselves: read, or refused with a documented error, never worse."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import partial
from typing import AnyStr
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.config import Address, parse_count, parse_retention
from bus.engine.base import Acknowledge
from bus.engine.start import StartKind
from bus.errors import BusError, InvalidError, MalformedError
from bus.server.api.acknowledge import USUAL, read_acknowledge
from bus.server.api.route import Need, Route
from bus.server.api.subscribe import read_redelivery, read_start, read_subscribe
from bus.server.http.head_reader import HeadReader
from bus.server.http.query import parse_query
from bus.server.http.request import REMEMBERED_HEADS, Head, Request, read_head
from bus.server.http.request_line import _read_closely, read_line
from bus.server.http.responder import Responder
from bus.server.service_manager import Supervisor
from bus.units import format_time, parse_duration, parse_size, parse_time, parse_whole
from tests.support import PATIENCE

TOKENS = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(str.encode)
VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30).map(str.encode)
LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"POST /?a=b HTTP/1.1", b"PUT /x HTTP/1.0", b"OPTIONS * HTTP/1.1", b"GET", b"\xff", b""]
)
NOW = 1_800_000_000_000_000_000


def _head(query: str) -> Head:
    return HeadReader().read(b"GET /?%b HTTP/1.1\r\nHost: bus\r\n\r\n" % query.encode())[0]


@given(st.lists(st.tuples(TOKENS.map(lambda name: b"x-" + name), VALUES), max_size=20, unique_by=lambda pair: pair[0]))
def test_headers_come_back(headers: list[tuple[bytes, bytes]]) -> None:
    lines = b"".join(b"%b:  %b \r\n" % (name.upper(), value) for name, value in headers)
    head = read_head(b"GET / HTTP/1.1\r\nHost: bus\r\n" + lines + b"\r\n")
    assert head.section.headers == {b"host": b"bus", **dict(headers)}


@given(LINES, st.lists(st.binary(max_size=40).filter(lambda line: b"\r\n\r\n" not in line), max_size=6))
def test_any_head_is_read_or_refused(line: bytes, headers: list[bytes]) -> None:
    try:
        head = read_head(b"\r\n".join([line, b"Host: bus", *filter(None, headers), b"", b""]))
    except MalformedError as error:
        assert "\n" not in error.message
    else:
        assert head.path and head.section.version in (b"1.0", b"1.1")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=10), st.text(max_size=10)), max_size=8))
def test_parameters_come_back(pairs: list[tuple[str, str]]) -> None:
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        if value:
            expected.setdefault(name, []).append(value)
    assert parse_query(urlencode(pairs).encode()) == expected


@given(st.binary(max_size=60).filter(lambda query: not set(query) & set(b" \r\n\0")))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    try:
        parse_query(query)
    except InvalidError as error:
        assert "\n" not in error.message


PARAMETERS = ["subject", "start", "ack", "redelivery", "redelivery_count", "prefetch", "consumer", "limit", "follow"]
SETTLING = ["consumer_id", "event_id", "action", "delay", "reason"]
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text("0123456789.smhdwe_-", max_size=40),
    st.sampled_from(["app.a", "oldest", "5s", "e_1", "manual", "2026-01-01T00:00:00Z", "1" * 400 + "w", "-", "nack"]),
)


@given(st.dictionaries(st.sampled_from([*PARAMETERS, "order", "last_event_id"]), TEXTS))
def test_any_subscription_is_understood_or_refused(parameters: dict[str, str]) -> None:
    try:
        wanted = read_subscribe(Request(_head(urlencode({"subject": "app.a", **parameters}))), now=NOW)
    except InvalidError as error:
        assert error.message.isprintable()
    else:
        assert wanted.filter.namespace
        assert wanted.prefetch >= 1
        assert all(0 <= patience < 1e12 for patience in wanted.redelivery or ())


@given(st.dictionaries(st.sampled_from(SETTLING), TEXTS), st.binary(max_size=10))
def test_any_acknowledgement_is_understood_or_refused(parameters: dict[str, str], body: bytes) -> None:
    try:
        ack = read_acknowledge(Request(_head(urlencode(parameters)), body))
    except InvalidError as error:
        assert error.message.isprintable()
    else:
        assert ack.event_ids
        assert ack.consumer_id
        assert ack.reason.isprintable()


IDS = st.text("ab-_%+.\u00e9", max_size=3) | st.integers(127, 129).map("a".__mul__)
SAID = st.tuples(st.sampled_from(["consumer_id", "event_id", "event_id", "action", "odd"]), IDS)


@given(st.lists(SAID, min_size=1, max_size=4).map(lambda pairs: "&".join(map("=".join, pairs))))
def test_a_usual_acknowledgement_is_what_a_close_look_finds(query: str) -> None:
    closely = Route(b"PUT", "/", Need.ACKNOWLEDGE, _answer_nothing, ("consumer_id", "action"), ("event_id",))
    at_a_glance = replace(closely, usual=USUAL)
    assert _outcome(partial(_read_by, at_a_glance), query) == _outcome(partial(_read_by, closely), query)


def _answer_nothing(request: Request, responder: Responder) -> None:
    """Only what was asked is looked at."""


def _read_by(route: Route, query: str) -> Sequence[object]:
    request = Request(_head(query), b"{}")
    route.check(request)
    return _said(read_acknowledge(request))


def _said(ack: Acknowledge) -> Sequence[object]:
    return ack.consumer_id, ack.event_ids, ack.action, ack.delay, ack.reason, ack.reply


WORDS = st.sampled_from(
    [b"GET", b"PUT", b"get", b"/", b"//a", b"/a?b=\xff", b"/\x7f", b"*", b"http://b/", b"HTTP/1.1", b"HTTP/1.0"]
)


@given(st.lists(WORDS | st.binary(max_size=3), min_size=3, max_size=4).map(b" ".join))
def test_a_usual_request_line_is_what_a_close_look_finds(line: bytes) -> None:
    assert _outcome(read_line, line) == _outcome(_read_closely, line)


def _outcome(read: Callable[[AnyStr], object], text: AnyStr) -> object:
    try:
        return read(text)
    except BusError as error:
        return type(error), error.message


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", StartKind.NEWEST),
        ("newest", StartKind.NEWEST),
        ("oldest", StartKind.OLDEST),
        ("17", StartKind.INDEX),
        ("e_17", StartKind.AFTER),
        ("mine", StartKind.AFTER),
        ("2026-01-31T12:00:00Z", StartKind.TIME),
        ("15m", StartKind.TIME),
    ],
)
def test_start_is_told_by_its_form(text: str, kind: StartKind) -> None:
    assert read_start(text, now=NOW).kind is kind


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", None), ("0s", None), ("500ms", (0.5,)), ("1m30s", (90.0,)), ("1s,5s,30s", (1.0, 5.0, 30.0))],
)
def test_redelivery_is_a_time_or_a_list_of_times(text: str, seconds: tuple[float, ...] | None) -> None:
    assert read_redelivery(text) == seconds


def test_the_same_head_is_read_once() -> None:
    assert _head("a=1") is _head("a=1")
    assert _head("a=1") is not _head("a=2")


SECTIONS = st.sampled_from(
    [b"Host: bus\r\n\r\n", b"Host: bus\r\nAuthorization: Bearer a\r\n\r\n", b"\r\n", b"\r\n\r\n"]
)
TARGETS = st.lists(
    st.sampled_from([b"/", b"?", b"a=1", b"b", b"#", b" ", b"%2f", b"\xff", b"\x01", b" HTTP/1.1"]), max_size=5
)
HEADS = st.builds(
    b"%b %b HTTP/1.%b\r\n%b".__mod__,
    st.tuples(st.sampled_from([b"PUT", b"GET"]), TARGETS.map(b"".join), st.sampled_from([b"1", b"0"]), SECTIONS),
)


@given(st.lists(HEADS, min_size=2, max_size=6))
def test_a_head_that_is_similar_to_the_last_is_what_a_close_look_finds(heads: list[bytes]) -> None:
    reader = HeadReader()
    for head in heads:
        assert _outcome(_read_all(reader), head) == _outcome(_read_all(HeadReader()), head)


def _read_all(reader: HeadReader) -> Callable[[bytes], object]:
    def read(head: bytes) -> object:
        found, credentials = reader.read(head)
        return asdict(found.section), found.method, found.path, found.raw_query, credentials.value

    return read


def test_an_acknowledgement_is_similar_to_the_one_before_it() -> None:
    reader, query = HeadReader(), b"PUT /?consumer_id=c&event_id=%d HTTP/1.1\r\nHost: bus\r\n\r\n"
    first, second = (reader.read(query % number)[0] for number in (1, 20))
    assert second.section is first.section
    assert (first.query["event_id"], second.query["event_id"]) == (["1"], ["20"])


def test_acknowledgements_do_not_have_other_heads_forgotten() -> None:
    post = b"POST /?wait=reply HTTP/1.1\r\nHost: bus\r\n\r\n"
    known, _ = HeadReader().read(post)
    for number in range(REMEMBERED_HEADS + 1):
        HeadReader().read(b"PUT /?consumer_id=c&event_id=%d HTTP/1.1\r\nHost: bus\r\n\r\n" % number)
    assert HeadReader().read(post)[0] is known


DIGITS = st.text("0123456789-+_. \u0663\uff15", max_size=25)


@given(DIGITS | st.integers().map(str) | st.text(max_size=5), st.integers(-10, 10), st.integers(0, 10**18))
def test_a_number_is_read_as_it_is_written_or_refused(text: str, least: int, most: int) -> None:
    try:
        number = parse_whole(text, what="number", least=least, most=most)
    except InvalidError as error:
        assert error.message.isprintable()
        assert text not in map(str, range(max(least, 0), min(most, 100)))
    else:
        assert str(number) == text
        assert least <= number <= most


def test_thousands_of_digits_are_no_number_of_any_kind() -> None:
    digits = "9" * 5000
    for read in (parse_count, parse_size, parse_duration, parse_time, parse_retention, Address.parse, read_start_now):
        for text in (digits, f"{digits}s", f"{digits}KB", f":{digits}", f"app={digits}", f"app={digits}KB"):
            with pytest.raises(BusError) as refused:
                read(text)
            assert refused.value.message.isprintable()
    assert Supervisor.of({"WATCHDOG_USEC": digits}).watchdog == 0


def read_start_now(text: str) -> object:
    return read_start(text.replace(":", "").replace("=", " "), now=NOW)


TIMES = st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30))


@given(TIMES, st.integers(-1439, 1439), st.integers(0, 999_999_999))
def test_a_time_comes_back_in_utc(local: datetime, offset: int, fraction: int) -> None:
    hours, minutes = divmod(abs(offset), 60)
    text = (
        f"{local:%Y-%m-%dT%H:%M:%S}".rjust(19, "0")
        + f".{fraction:09}{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
    )
    utc = local.replace(microsecond=0) - timedelta(minutes=offset)
    assert format_time(parse_time(text)) == f"{utc:%Y-%m-%dT%H:%M:%S}".rjust(19, "0") + f".{fraction:09}Z"


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000000Z"),
        ("2016-12-31T23:59:60.25Z", "2017-01-01T00:00:00.250000000Z"),
        ("2017-01-01T00:59:60+01:00", "2017-01-01T00:00:00.000000000Z"),
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ("0001-01-01t00:00:00z", "0001-01-01T00:00:00.000000000Z"),
    ],
)
def test_times_at_the_edges(text: str, utc: str) -> None:
    assert format_time(parse_time(text)) == utc


@pytest.mark.parametrize("time", [-1_000_000_000, -1, 0])
def test_the_first_time_that_is_written_may_be_any(time: int) -> None:
    """Nothing is remembered yet in a process of its own."""
    write = f"from bus.units import format_time; print(format_time({time}))"
    written = subprocess.run([sys.executable, "-c", write], capture_output=True, check=True, timeout=PATIENCE).stdout
    assert parse_time(written.decode().strip()) == time
