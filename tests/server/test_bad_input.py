"""What can't be understood is answered by one clear line and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from bus.errors import error_class
from bus.server.api.openapi import read_openapi
from bus.wire import NDJSON
from tests.server.support import draft, post, read, read_lines, refusal, target, upload
from tests.support import ServerProcess, request

pytestmark = pytest.mark.every_engine


def many_headers(count: int) -> bytes:
    return b",".join([b'"h%d":""' % number for number in range(count)])


EVENTS: dict[str, tuple[bytes, int, str]] = {
    "empty body": (b"", 400, "the body is empty"),
    "blank body": (b" \r\n", 400, "the body is empty"),
    "broken JSON": (b'{"subject":"app.a"', 400, "not JSON"),
    "two events": (b'{"subject":"app.a"}{"subject":"app.a"}', 400, "not JSON"),
    "a number": (b"7", 400, "not an event"),
    "null": (b"null", 400, "not an event"),
    "not UTF-8": (b'{"subject":"app.a","payload":"\xff"}', 400, "not UTF-8"),
    "UTF-16": ('{"subject":"app.a"}'.encode("utf-16"), 400, "not UTF-8"),
    "byte order mark": (b'\xef\xbb\xbf{"subject":"app.a"}', 400, "not JSON"),
    "NaN": (b'{"subject":"app.a","payload":NaN}', 400, "not JSON"),
    "Infinity": (b'{"subject":"app.a","payload":[-Infinity]}', 400, "not JSON"),
    "lone surrogate": (b'{"subject":"app.a","payload":"\\ud800"}', 400, "surrogate"),
    "surrogates the wrong way round": (b'{"subject":"app.a","payload":"\\udc00\\ud800"}', 400, "surrogate"),
    "lone surrogate in the key": (b'{"subject":"app.a","key":"\\ud800"}', 400, "surrogate"),
    "control character": (b'{"subject":"app.a","payload":"\x01"}', 400, "not JSON"),
    "raw line break in a string": (b'{"subject":"app.a","payload":"a\nb"}', 400, "not JSON"),
    "a number beyond a double": (b'{"subject":"app.a","payload":1e400}', 400, "double"),
    "an endless integer": (b'{"subject":"app.a","payload":[-%b]}' % (b"9" * 5000), 400, "double"),
    "such a number in a batch": (b'[{"subject":"app.a"},{"subject":"app.a","payload":{"n":-1e999}}]', 400, "double"),
    "deep in a batch": (
        b'[{"subject":"app.a"},{"subject":"app.a","payload":' + b"[" * 300 + b"]" * 300 + b"}]", 400, "deeper",
    ),
    "single quotes": (b"{'subject':'app.a'}", 400, "not JSON"),
    "trailing comma": (b'{"subject":"app.a",}', 400, "not JSON"),
    "leading zero": (b'{"subject":"app.a","payload":01}', 400, "not JSON"),
    "10,000 levels of lists": (b'{"subject":"app.a","payload":' + b"[" * 10_000 + b"]" * 10_000 + b"}", 400, "deeper"),
    "10,000 levels of objects": (
        b'{"subject":"app.a","payload":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}", 400, "deeper",
    ),
    "10,000 levels unclosed": (b'{"subject":"app.a","payload":' + b"[" * 10_000, 400, "deeper"),
    "no subject": (b'{"payload":1}', 400, "subject is required"),
    "empty subject": (b'{"subject":""}', 400, "subject is required"),
    "subject of another type": (b'{"subject":7}', 400, "not an event"),
    "no dot": (b'{"subject":"app"}', 400, "no dot"),
    "wildcard": (b'{"subject":"app.*"}', 400, "wildcard"),
    "wildcard for the rest": (b'{"subject":"app.>"}', 400, "wildcard"),
    "empty segment": (b'{"subject":"app..a"}', 400, "empty segment"),
    "dot at the end": (b'{"subject":"app.a."}', 400, "empty segment"),
    "dot at the beginning": (b'{"subject":".app.a"}', 400, "empty segment"),
    "blank in the subject": (b'{"subject":"app.a b"}', 400, "character"),
    "line break in the subject": (b'{"subject":"app.a\\nb"}', 400, "character"),
    "line break at its end": (b'{"subject":"app.a\\n"}', 400, "character"),
    "subject of 257 bytes": (b'{"subject":"app.' + b"a" * 253 + b'"}', 400, "256 is the most"),
    "undeclared namespace": (b'{"subject":"nowhere.a"}', 404, "not declared"),
    "inbox without a name": (b'{"subject":"_bus_"}', 400, "no dot"),
    "inbox with a wildcard": (b'{"subject":"_bus_.*"}', 400, "wildcard"),
    "response_subject that is no inbox": (b'{"subject":"app.a","response_subject":"app.b"}', 400, "not an inbox"),
    "response_subject that is no subject": (b'{"subject":"app.a","response_subject":"inbox"}', 400, "no dot"),
    "dead letters": (b'{"subject":"app._dead_.x"}', 400, "_dead_"),
    "malformed id": (b'{"subject":"app.a","id":"a b"}', 400, "malformed"),
    "id with a line break": (b'{"subject":"app.a","id":"a\\n"}', 400, "malformed"),
    "id of 129 characters": (b'{"subject":"app.a","id":"' + b"a" * 129 + b'"}', 400, "malformed"),
    "key of another type": (b'{"subject":"app.a","key":7}', 400, "not an event"),
    "endless key": (b'{"subject":"app.a","key":"' + b"k" * 1025 + b'"}', 400, "1024 is the most"),
    "endless trace id": (b'{"subject":"app.a","trace_id":"' + b"k" * 1025 + b'"}', 400, "1024 is the most"),
    "headers that are none": (b'{"subject":"app.a","headers":[]}', 400, "not an event"),
    "header that is no text": (b'{"subject":"app.a","headers":{"a":1}}', 400, "$.headers"),
    "header without a name": (b'{"subject":"app.a","headers":{"":"a"}}', 400, "header '' is misnamed"),
    "header with a blank": (b'{"subject":"app.a","headers":{"a b":"c"}}', 400, "header 'a b' is misnamed"),
    "header with a line break": (b'{"subject":"app.a","headers":{"a\\n":"c"}}', 400, "header 'a\\n' is misnamed"),
    "65 headers": (b'{"subject":"app.a","headers":{%b}}' % many_headers(65), 400, "65 headers: 64 are the most"),
    "endless headers": (b'{"subject":"app.a","headers":{"a":"' + "ä".encode() * 4096 + b'"}}', 400, "8192 are"),
    "misnamed header in a batch": (b'[{"subject":"app.a"},{"subject":"app.a","headers":{"(":""}}]', 400, "'(' is mis"),
    "ttl that is no duration": (b'{"subject":"app.a","ttl":"soon"}', 400, "duration 'soon' can't be read"),
    "ttl that is a number": (b'{"subject":"app.a","ttl":900}', 400, "$.ttl"),
    "ttl of nothing": (b'{"subject":"app.a","ttl":"0s"}', 400, "'0s' is no time to live"),
    "ttl of 101 years": (b'{"subject":"app.a","ttl":"36865d"}', 400, "out of range"),
    "ttl in an inbox": (b'{"subject":"_bus_.a","ttl":"1s"}', 400, "publish them without ttl"),
    "time that is none": (b'{"subject":"app.a","created_at":"yesterday"}', 400, "can't be read"),
    "time without an offset": (b'{"subject":"app.a","created_at":"2026-01-31T12:00:00"}', 400, "can't be read"),
    "February 31": (b'{"subject":"app.a","created_at":"2026-02-31T12:00:00Z"}', 400, "doesn't exist"),
    "month 13": (b'{"subject":"app.a","created_at":"2026-13-01T12:00:00Z"}', 400, "doesn't exist"),
    "beyond year 9999": (b'{"subject":"app.a","created_at":"9999-12-31T23:59:59-01:00"}', 400, "doesn't exist"),
    "before year 1": (b'{"subject":"app.a","created_at":"0001-01-01T00:00:00+01:00"}', 400, "doesn't exist"),
    "offset of 99 hours": (b'{"subject":"app.a","created_at":"2026-01-31T12:00:00+99:99"}', 400, "can't be read"),
    "offset of 24 hours": (b'{"subject":"app.a","created_at":"2026-01-31T12:00:00-24:00"}', 400, "can't be read"),
    "offset of 60 minutes": (b'{"subject":"app.a","created_at":"2026-01-31T12:00:00+01:60"}', 400, "can't be read"),
    "hour 24": (b'{"subject":"app.a","created_at":"2026-01-31T24:00:00Z"}', 400, "doesn't exist"),
    "second 61": (b'{"subject":"app.a","created_at":"2026-01-31T23:59:61Z"}', 400, "doesn't exist"),
    "leap second at noon": (b'{"subject":"app.a","created_at":"2026-01-31T12:00:60Z"}', 400, "doesn't exist"),
    "leap second of year 10000": (b'{"subject":"app.a","created_at":"9999-12-31T23:59:60Z"}', 400, "doesn't exist"),
    "year 0": (b'{"subject":"app.a","created_at":"0000-01-01T00:00:00Z"}', 400, "doesn't exist"),
    "ten digits of fraction": (b'{"subject":"app.a","created_at":"2026-01-31T12:00:00.1234567890Z"}', 400, "can't be"),
    "time in other digits": ('{"subject":"app.a","created_at":"\u0662026-01-31T12:00:00Z"}'.encode(), 400, "can't be"),
    "misspelt field": (b'{"subject":"app.a","kye":"k"}', 400, "'kye' is not for an event: did you mean key?"),
    "field in capitals": (b'{"subject":"app.a","Key":"k"}', 400, "did you mean key?"),
    "beginning of a field": (b'{"subject":"app.a","trace":"k"}', 400, "did you mean trace_id?"),
    "field unlike any": (b'{"subject":"app.a","zzz":1}', 400, "known are subject, payload"),
    "field without a name": (b'{"subject":"app.a","":1}', 400, "'' is not for an event"),
    "endless field": (b'{"subject":"app.a","' + b"k" * 5000 + b'":1}', 400, "is not for an event"),
    "field with a line break": (b'{"subject":"app.a","a\\nb":1}', 400, "'a\\nb' is not for an event"),
    "misspelt field in a batch": (b'[{"subject":"app.a"},{"subject":"app.a","paylod":1}]', 400, "for event 2 of"),
    "misspelt field beside those of Bus": (b'{"subject":"app.a","index":1,"atempts":1}', 400, "'atempts' is not"),
    "batch of several namespaces": (b'[{"subject":"app.a"},{"subject":"orders.a"}]', 400, "several namespaces"),
    "batch that is too long": (b"[" + b",".join([b'{"subject":"app.a"}'] * 16_385) + b"]", 400, "is the most"),
    "body over the limit": (b'{"subject":"app.a","payload":"' + b"x" * 4_194_304 + b'"}', 413, "larger than"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "status", "words"), EVENTS.values(), ids=EVENTS)
def test_a_refused_event_stores_nothing(bus: ServerProcess, body: bytes, status: int, words: str) -> None:
    before = _next_indexes(bus)
    found, text = refusal(post(bus, body))
    assert (found, words in text) == (status, True), text
    assert len(text) < 300
    assert _next_indexes(bus) == before


def _next_indexes(server: ServerProcess) -> dict[str, int]:
    namespaces = msgspec.json.decode(request(server, "GET", "/v1/namespaces").body)["namespaces"]
    return {namespace["namespace"]: namespace["next_index"] for namespace in namespaces}


SUBSCRIPTIONS: dict[str, tuple[str, int, str]] = {
    "no subject": ("/?start=oldest", 400, "subject is required"),
    "empty subject": ("/?subject=", 400, "subject is required"),
    "no dot": ("/?subject=app", 400, "no dot"),
    "wildcard namespace": ("/?subject=*.a", 400, "starts with a wildcard"),
    "everything": ("/?subject=%3E", 400, "no dot"),
    "rest not at the end": ("/?subject=app.%3E.a", 400, "can only be the last"),
    "wildcard within a segment": ("/?subject=app.a*", 400, "character"),
    "several namespaces": ("/?subject=app.a&subject=orders.a", 400, "several namespaces"),
    "undeclared namespace": ("/?subject=nowhere.a", 404, "not declared"),
    "others' inboxes": ("/?subject=_bus_.*", 400, "others' inboxes"),
    "65 patterns": ("/?subject=" + ",".join(f"app.a{n}" for n in range(65)), 400, "64 is the most"),
    "unknown start": ("/?subject=app.a&start=e_000000000001aaaaaaaaaa", 404, "never existed"),
    "start of a client-supplied id": ("/?subject=app.a&start=nobody-sent-this", 404, "never existed"),
    "start beyond the end": ("/?subject=app.a&start=999999", 404, "beyond the end"),
    "unreadable start": ("/?subject=app.a&start=2026-01-31+noon", 400, "can't be read"),
    "index with a leading zero": ("/?subject=app.a&start=01", 400, "whole number"),
    "index beyond 64 bits": ("/?subject=app.a&start=" + "9" * 19, 400, "whole number"),
    "index of thousands of digits": ("/?subject=app.a&start=" + "9" * 5000, 400, "whole number"),
    "index in other digits": ("/?subject=app.a&start=" + quote("\u0664\u0662"), 400, "whole number"),
    "misspelt parameter": ("/?subject=app.a&strat=oldest", 400, "'strat' is not known here: did you mean start?"),
    "parameter in capitals": ("/?Subject=app.a", 400, "did you mean subject?"),
    "parameter of another method": ("/?subject=app.a&event_id=e_1", 400, "'event_id' is not known here"),
    "parameter with a line break": ("/?subject=app.a&a%0ab=1", 400, "'a\\nb' is not known here"),
    "limit given twice": ("/?subject=app.a&limit=1&limit=1", 400, "given 2 times"),
    "start given twice": ("/?subject=app.a&start=oldest&start=newest", 400, "given 2 times"),
    "unreadable last event id": ("/?subject=app.a&last_event_id=a+b", 400, "malformed"),
    "unknown ack": ("/?subject=app.a&ack=maybe", 400, "not among none, manual"),
    "duration 5x": ("/?subject=app.a&redelivery=5x", 400, "can't be read"),
    "duration without unit": ("/?subject=app.a&redelivery=5", 400, "can't be read"),
    "negative duration": ("/?subject=app.a&redelivery=-5s", 400, "can't be read"),
    "astronomic duration": ("/?subject=app.a&ack=manual&redelivery=" + "9" * 400 + "s", 400, "out of range"),
    "astronomic age": ("/?subject=app.a&start=" + "9" * 400 + "s", 400, "can't be read"),
    "unreadable count": ("/?subject=app.a&redelivery_count=many", 400, "whole number"),
    "count of thousands of digits": ("/?subject=app.a&redelivery_count=-" + "9" * 5000, 400, "whole number"),
    "count with a leading zero": ("/?subject=app.a&redelivery_count=03", 400, "whole number"),
    "count of minus nothing": ("/?subject=app.a&redelivery_count=-0", 400, "whole number"),
    "count with a sign": ("/?subject=app.a&redelivery_count=%2B3", 400, "whole number"),
    "prefetch with a leading zero": ("/?subject=app.a&prefetch=01", 400, "whole number"),
    "limit with an underscore": ("/?subject=app.a&limit=1_0", 400, "whole number"),
    "limit with a blank": ("/?subject=app.a&limit=+1", 400, "whole number"),
    "limit in other digits": ("/?subject=app.a&limit=" + quote("\u0663"), 400, "whole number"),
    "limit of thousands of digits": ("/?subject=app.a&limit=" + "1" * 5000, 400, "whole number"),
    "duration in other digits": ("/?subject=app.a&redelivery=" + quote("\u0665s"), 400, "can't be read"),
    "unreadable prefetch": ("/?subject=app.a&prefetch=-1", 400, "whole number"),
    "prefetch without bounds": ("/?subject=app.a&prefetch=1000000", 400, "whole number"),
    "limit 0": ("/?subject=app.a&limit=0", 400, "whole number"),
    "unreadable follow": ("/?subject=app.a&follow=perhaps", 400, "not true or false"),
    "unknown order": ("/?subject=app.a&order=size", 400, "not known"),
    "durable without ack": ("/?subject=app.a&consumer=c", 400, "ack=manual"),
    "malformed consumer": ("/?subject=app.a&consumer=a/b&ack=manual", 400, "malformed"),
    "ack of an inbox": ("/?subject=_bus_.a&ack=manual", 400, "nothing to acknowledge"),
    "query that is not UTF-8": ("/?subject=app.%FF", 400, "not UTF-8"),
}


@pytest.mark.parametrize(("path", "status", "words"), SUBSCRIPTIONS.values(), ids=SUBSCRIPTIONS)
def test_a_refused_subscription_says_why(bus: ServerProcess, path: str, status: int, words: str) -> None:
    found, text = refusal(request(bus, "GET", path))
    assert (found, words in text) == (status, True), text
    assert len(text) < 600


ACKNOWLEDGEMENTS: dict[str, tuple[str, bytes, int, str]] = {
    "nothing": ("", b"", 400, "consumer_id is required"),
    "no consumer": ("event_id=e_1", b"", 400, "consumer_id is required"),
    "no event": ("consumer_id=c_1", b"", 400, "event_id is required"),
    "empty event": ("consumer_id=c_1&event_id=,", b"", 400, "event_id is required"),
    "malformed consumer": ("consumer_id=c%201&event_id=e_1", b"", 400, "malformed"),
    "malformed event": ("consumer_id=c_1&event_id=e%0A1", b"", 400, "malformed"),
    "unknown consumer": ("consumer_id=c_1&event_id=e_1", b"", 404, "doesn't exist"),
    "unknown action": ("consumer_id=c_1&event_id=e_1&action=eat", b"", 400, "not among"),
    "unreadable delay": ("consumer_id=c_1&event_id=e_1&action=nack&delay=5x", b"", 400, "can't be read"),
    "delay beyond bounds": ("consumer_id=c_1&event_id=e_1&action=nack&delay=8d", b"", 400, "out of range"),
    "delay of an ack": ("consumer_id=c_1&event_id=e_1&delay=5s", b"", 400, "delay goes with"),
    "reason of an ack": ("consumer_id=c_1&event_id=e_1&reason=why", b"", 400, "reason goes with"),
    "misspelt parameter": ("consumer_id=c_1&event_ids=e_1", b"", 400, "did you mean event_id?"),
    "parameter of another method": ("consumer_id=c_1&event_id=e_1&start=oldest", b"", 400, "not known here"),
    "consumer given twice": ("consumer_id=c_1&consumer_id=c_2&event_id=e_1", b"", 400, "given 2 times"),
    "delay of thousands of digits": (
        "consumer_id=c_1&event_id=e_1&action=nack&delay=" + "9" * 5000 + "s",
        b"",
        400,
        "out of range",
    ),
    "reply that is no JSON": ("consumer_id=c_1&event_id=e_1", b"{", 400, "not JSON"),
    "reply with a nack": ("consumer_id=c_1&event_id=e_1&action=nack", b"1", 400, "a reply acknowledges"),
    "257 events": ("consumer_id=c_1&event_id=" + ",".join(f"e{n}" for n in range(257)), b"", 400, "256 is the most"),
}


@pytest.mark.parametrize(("query", "body", "status", "words"), ACKNOWLEDGEMENTS.values(), ids=ACKNOWLEDGEMENTS)
def test_a_refused_acknowledgement_says_why(
    bus: ServerProcess, query: str, body: bytes, status: int, words: str
) -> None:
    found, text = refusal(request(bus, "PUT", "/?" + query, body))
    assert (found, words in text) == (status, True), text


WAITS: dict[str, tuple[str, str]] = {
    "for what": ("wait=forever", "not among reply, confirm"),
    "timeout 5x": ("wait=reply&timeout=5x", "can't be read"),
    "timeout 0": ("wait=reply&timeout=0", "out of range"),
    "too long": ("wait=reply&timeout=61s", "out of range"),
    "count 0": ("wait=confirm&count=0", "whole number"),
    "count -1": ("wait=confirm&count=-1", "whole number"),
    "count beyond bounds": ("wait=confirm&count=1001", "whole number"),
    "count beyond bounds behind zeros": ("wait=confirm&count=0000019999999", "whole number"),
    "count of thousands of digits": ("wait=confirm&count=000001" + "9" * 5000, "whole number"),
    "count with a leading zero": ("wait=confirm&count=01", "whole number"),
    "count in other digits": ("wait=confirm&count=" + quote("\u0663"), "whole number"),
    "count with a reply": ("wait=reply&count=2", "count goes with wait=confirm"),
    "count without wait": ("count=2", "count goes with wait=confirm"),
    "timeout without wait": ("timeout=5s", "timeout goes with"),
    "timeout given twice": ("wait=reply&timeout=5s&timeout=5s", "given 2 times"),
    "misspelt wait": ("wiat=reply", "did you mean wait?"),
}


@pytest.mark.parametrize(("query", "words"), WAITS.values(), ids=WAITS)
def test_a_refused_wait_stores_nothing(bus: ServerProcess, subject: str, query: str, words: str) -> None:
    status, text = refusal(post(bus, draft(subject), "?" + query))
    assert (status, words in text) == (400, True), text
    assert read(bus, subject) == []


def test_a_batch_can_not_be_waited_for(bus: ServerProcess, subject: str) -> None:
    assert refusal(post(bus, b"[%b]" % draft(subject), "?wait=reply"))[0] == 400
    assert read(bus, subject) == []


PROBLEMS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/", {"status": 400, "code": "invalid-subject"}),
    ("GET", target("app.a", last_event_id="a b"), {"status": 400, "code": "invalid-parameter"}),
    ("GET", target("app.a", start="e_ "), {"status": 400, "code": "invalid-parameter"}),
    ("GET", target("app.a", strat="oldest"), {"status": 400, "code": "invalid-parameter"}),
    ("GET", target("nowhere.a"), {"status": 404, "code": "unknown-namespace"}),
    ("GET", target("app.a", start="e_000000000001aaaaaaaaaa"), {"status": 404, "code": "unknown-event"}),
    ("PUT", "/?consumer_id=c_1&event_id=e_1", {"status": 404, "code": "unknown-consumer"}),
    ("GET", "/nowhere", {"status": 404, "code": "not-found"}),
    ("DELETE", "/", {"status": 405, "code": "method-not-allowed"}),
]


@pytest.mark.parametrize("accept", ["application/json", "text/html, application/problem+json;q=0.9"])
@pytest.mark.parametrize(("method", "path", "expected"), PROBLEMS)
def test_errors_are_problem_details_for_those_who_ask(
    bus: ServerProcess, accept: str, method: str, path: str, expected: dict[str, Any]
) -> None:
    answer = request(bus, method, path, Accept=accept)
    problem = msgspec.json.decode(answer.body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status == problem["status"]
    assert {name: problem[name] for name in expected} == expected
    assert problem["type"] == f"urn:bus:{problem['code']}"
    assert problem["title"] and problem["detail"]
    found = error_class(problem["code"])
    assert found and found.status == answer.status


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/", "GET, HEAD, OPTIONS, POST, PUT"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/consumers", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/consumers/a/dead", "DELETE, GET, HEAD, OPTIONS, POST"),
    ],
)
def test_a_method_that_is_not_for_the_path_is_405(bus: ServerProcess, method: str, path: str, allowed: str) -> None:
    answer = request(bus, method, path)
    assert (refusal(answer)[0], answer.headers["allow"]) == (405, allowed)
    asked = request(bus, "OPTIONS", path)
    assert (asked.status, asked.headers["allow"]) == (204, allowed)


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/consumers/a/b/c", "/healthz/", "/%2F", "/%2e%2e/etc", "/%0d%0aX:1"]
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
def test_an_unknown_path_is_404(bus: ServerProcess, method: str, path: str) -> None:
    assert refusal(request(bus, method, path))[0] == 404


LINES: dict[str, tuple[bytes, str]] = {
    "misspelt field": (b'{"subject":"app.a","subjct":1}', "did you mean subject?"),
    "offset of 99 hours": (b'{"subject":"app.a","created_at":"2026-01-31T12:00:00+99:99"}', "can't be read"),
}


@pytest.mark.parametrize(("line", "words"), LINES.values(), ids=LINES)
def test_a_line_is_refused_as_an_event_is(bus: ServerProcess, subject: str, line: bytes, words: str) -> None:
    stored, refused = upload(bus, [draft(subject), line])
    assert "id" in stored
    assert (refused["status"], words in refused["error"]) == (400, True), refused


@pytest.mark.parametrize("query", ["wait=reply", "wait=confirm", "timeout=5s", "wiat=reply"])
def test_lines_can_not_be_waited_for(bus: ServerProcess, subject: str, query: str) -> None:
    assert refusal(post(bus, draft(subject), "?" + query, Content_Type=NDJSON))[0] == 400
    assert read(bus, subject) == []


def test_what_bus_puts_into_events_may_be_published_again(bus: ServerProcess, subject: str) -> None:
    dead = {"consumer": "c", "id": "e_1", "subject": subject, "index": 1, "attempts": 3, "reason": "no"}
    received = draft(subject, 1, index=7, attempts=2, error="no", dead=dead)
    assert post(bus, received).status == 202
    assert post(bus, b"[%b]" % received).status == 202
    assert "id" in upload(bus, [received])[0]
    (line, *_) = read_lines(bus, subject)
    assert post(bus, line.replace(b'"id":', b'"trace_id":')).status == 202
    assert len(read(bus, subject)) == 4


def test_what_the_go_client_sends_is_taken(bus: ServerProcess, subject: str) -> None:
    event = draft(subject, id="", key="", trace_id="", response_subject="", created_at="0001-01-01T00:00:00Z", index=0)
    assert post(bus, iter([event])).status == 202
    asked = target(subject, start="oldest", ack="", redelivery="0s", redelivery_count="-1", follow="false")
    assert request(bus, "GET", asked).status == 200
    assert request(bus, "GET", "/" + asked.replace("start=oldest", "start=")).status == 200


PROBES = ("/healthz", "/readyz", "/metrics")


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_probe_may_add_parameters_of_its_own(bus: ServerProcess, method: str, path: str) -> None:
    for query in ("t=1700000000", "a=1&a=2", "name[]=up", "%ff"):
        assert request(bus, method, f"{path}?{query}").status == 200


def _described() -> Iterator[tuple[str, str, set[str]]]:
    for path, methods in msgspec.json.decode(read_openapi())["paths"].items():
        for method, about in methods.items():
            if method not in ("parameters", "options"):
                names = {known["name"] for known in about.get("parameters", []) if known["in"] == "query"}
                if path not in PROBES:
                    yield method.upper(), path.replace("{name}", "nobody"), names


@pytest.mark.parametrize(("method", "path", "names"), [*_described()])
def test_an_address_knows_the_parameters_of_its_description_and_no_others(
    bus: ServerProcess, method: str, path: str, names: set[str]
) -> None:
    unknown = request(bus, method, f"{path}?subjectt=x&x=")
    assert unknown.status == 400 and (method == "HEAD" or "'subjectt' is not known here" in unknown.text)
    for name in names:
        known = request(bus, method, f"{path}?{name}=&subjectt=x")
        assert known.status == 400 and f"'{name}' is not known here" not in known.text


def test_what_a_client_sent_never_ends_a_header_or_a_line(bus: ServerProcess) -> None:
    for path in (
        "/%0d%0aSet-Cookie:x",
        "/?subject=" + quote("app.a\r\nX: 1\n\ndata: x"),
        "/?subject=app.a&start=%0a%0a",
    ):
        answer = request(bus, "GET", path)
        assert refusal(answer)[0] in (400, 404)
        assert not {"set-cookie", "x"} & set(answer.headers)
