"""Bytes of the server as answers, however they are cut."""

from __future__ import annotations

import pytest

from bus.client.core.outcomes import OutcomeReader, check, error_in, payload_in, receipt_in
from bus.client.core.response import Response, ResponseReader
from bus.errors import (
    BusError,
    ConnectionFailedError,
    DuplicateKeyError,
    InvalidSubjectError,
    ServiceError,
    TimedOutError,
    UnavailableError,
)
from bus.event import Receipt
from bus.wire import encode_problem, encode_receipts, encode_refusal

RECEIPT = Receipt("e_1", "2026-01-31T12:00:00.000000000Z", 7)
RECEIPT_HEADERS = {
    b"x-bus-event-id": b"e_1",
    b"x-bus-event-created-at": b"2026-01-31T12:00:00.000000000Z",
    b"x-bus-event-index": b"7",
}
ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nX-BUS-EVENT-ID: e_1\r\nX-BUS-EVENT-CREATED-AT: 2026-01-31T12:00:00.000000000Z\r\n"
    b"X-BUS-EVENT-INDEX: 7\r\nContent-Length: 0\r\n\r\n"
)
CHUNKED = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def cuts(data: bytes) -> list[list[bytes]]:
    """*data* whole, in two parts at every place, and in single bytes."""
    halves = [[data[:at], data[at:]] for at in range(1, len(data))]
    return [[data], *halves, [data[at : at + 1] for at in range(len(data))]]


def read(parts: list[bytes]) -> Response:
    reader = ResponseReader()
    for part in parts:
        assert not reader.complete
        reader.feed(part)
    assert reader.complete
    return reader.response()


@pytest.mark.parametrize("data", [ACCEPTED, CHUNKED])
def test_an_answer_is_the_same_however_it_is_cut(data: bytes) -> None:
    whole = read([data])
    assert all(read(parts) == whole for parts in cuts(data))


def test_a_reader_takes_one_answer_after_the_other() -> None:
    reader = ResponseReader()
    for _ in range(3):
        reader.expect()
        reader.feed(ACCEPTED)
        assert receipt_in(reader.response()) == RECEIPT
        assert reader.keep_alive


def test_an_interim_answer_is_passed_over() -> None:
    response = read([b"HTTP/1.1 100 Continue\r\nX-Not: mine\r\n\r\n", ACCEPTED])
    assert response.status == 202
    assert b"x-not" not in response.headers


def test_a_body_can_be_taken_as_it_comes() -> None:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\none")
    assert reader.take_body() == b"one"
    reader.feed(b"two")
    assert (reader.take_body(), reader.take_body(), reader.complete) == (b"two", b"", False)
    reader.feed_eof()
    assert (reader.complete, reader.keep_alive) == (True, False)


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 2", ACCEPTED[:-2], CHUNKED[:-2], b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"]
)
def test_an_answer_that_ends_early_is_a_broken_connection(begun: bytes) -> None:
    reader = ResponseReader()
    if begun:
        reader.feed(begun)
    with pytest.raises(ConnectionFailedError, match="may or may not be done"):
        reader.feed_eof()


def test_what_is_not_http_is_named_so() -> None:
    with pytest.raises(ConnectionFailedError, match="is this a Bus server"):
        ResponseReader().feed(b"SSH-2.0-OpenSSH_9.2\r\n")


def test_a_receipt_is_in_the_headers() -> None:
    assert receipt_in(Response(202, RECEIPT_HEADERS)) == RECEIPT
    with pytest.raises(ConnectionFailedError, match="without a receipt"):
        receipt_in(Response(202, {}))


def test_a_problem_raises_the_class_the_server_raised() -> None:
    raised = InvalidSubjectError("subject 'a' has no dot")
    with pytest.raises(InvalidSubjectError, match="has no dot"):
        check(Response(400, {}, encode_problem(raised)))


@pytest.mark.parametrize("kind", [DuplicateKeyError, TimedOutError])
def test_errors_about_a_stored_event_carry_its_receipt(kind: type[DuplicateKeyError | TimedOutError]) -> None:
    error = error_in(Response(409, RECEIPT_HEADERS, encode_problem(kind("so it is"))))
    assert isinstance(error, kind)
    assert error.receipt == RECEIPT


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (502, b"<html>\n bad gateway</html>", UnavailableError, "<html> bad gateway</html>"),
        (500, b"", BusError, "the server answered 500"),
        (418, b'{"detail": 1}', BusError, '{"detail": 1}'),
        (400, b"\xff\xfe", BusError, "\ufffd\ufffd"),
    ],
)
def test_answers_of_others_become_errors_by_their_status(
    status: int, body: bytes, kind: type[BusError], message: str
) -> None:
    error = error_in(Response(status, {}, body))
    assert isinstance(error, kind)
    assert error.message == message


def test_a_reply_is_the_decoded_body() -> None:
    assert payload_in(Response(200, {}, b'{"result":30}')) == {"result": 30}
    assert payload_in(Response(200, {}, b"")) is None
    with pytest.raises(ServiceError, match="reply is not JSON"):
        payload_in(Response(200, {}, b"{"))


def test_outcomes_come_in_order_however_they_are_cut() -> None:
    refusal = DuplicateKeyError(receipt=RECEIPT)
    data = encode_receipts([RECEIPT]) + encode_refusal(refusal) + encode_refusal(InvalidSubjectError("no")) + b"\n"
    for parts in cuts(data):
        reader = OutcomeReader()
        first, second, third = [outcome for part in parts for outcome in reader.feed(part)]
        assert first == RECEIPT
        assert isinstance(second, DuplicateKeyError)
        assert second.receipt == RECEIPT
        assert isinstance(third, InvalidSubjectError)
        assert third.message == "no"


def test_receipts_alone_are_read_in_one_go() -> None:
    reader = OutcomeReader()
    assert reader.feed(encode_receipts([RECEIPT] * 3) + b'{"id"') == [RECEIPT] * 3
    assert "6 bytes" not in repr(reader)
    assert "5 bytes" in repr(reader)
