"""Payloads travel as the bytes they are: nothing is decoded, rounded or re-escaped on the way."""

from __future__ import annotations

import re

import pytest

from tests.server.support import post, read_lines
from tests.support import ServerProcess

pytestmark = pytest.mark.every_engine

_PAYLOAD = re.compile(rb'"payload":(.*),"created_at":')


def _kept(server: ServerProcess, subject: str, payload: bytes) -> bytes:
    """What is delivered of *payload*."""
    answer = post(server, b'{"subject":"%b","payload":%b}' % (subject.encode(), payload))
    assert answer.status == 202, answer
    (line,) = read_lines(server, subject)
    found = _PAYLOAD.search(line)
    assert found
    return found[1]


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"true",
        b"0",
        b"-0.0",
        b'""',
        b"{}",
        b"[]",
        b"123456789012345678901234567890123456789012345678901234567890",
        b"1.7976931348623157e308",
        b"1e-999",
        b"0.1000000000000000055511151231257827021181583404541015625",
        b"1E+2",
        b'{"a":1,"a":2}',
        b'{"z":1,"a":2}',
        b'"\\u00e9 \\ud83d\\ude00 \\/ \\n \\u0000"',
        '"é 😀 \u2028 \u2029 \u0085"'.encode(),
        b'{"id":"e_1","index":7,"subject":"other.one","created_at":"x"}',
        b'"\\n\\ndata: x\\n\\nevent: msg"',
        b'{"a" : [1 ,2 ] , "b":\t"c"}',
        b"[" * 200 + b"]" * 200,
        b'"' + b"x" * 1_000_000 + b'"',
    ],
    ids=lambda payload: repr(payload[:40]),
)
def test_a_payload_keeps_its_bytes(bus: ServerProcess, subject: str, payload: bytes) -> None:
    assert _kept(bus, subject, payload) == payload


def test_a_pretty_printed_payload_becomes_one_line(bus: ServerProcess, subject: str) -> None:
    pretty = b'{\r\n  "a": [\n    1,\r    2\n  ],\n  "b": "x\\ny"\n}'
    assert _kept(bus, subject, pretty) == b'{  "a": [    1,    2  ],  "b": "x\\ny"}'


def test_blanks_around_the_event_are_not_kept(bus: ServerProcess, subject: str) -> None:
    answer = post(bus, b'\n {"subject": "%b" , "payload" : 1 }\n' % subject.encode())
    assert answer.status == 202
    assert b'"payload":1,' in read_lines(bus, subject)[0]
