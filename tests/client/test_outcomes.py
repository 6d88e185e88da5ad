"""What answers mean: receipts, replies and errors."""

from __future__ import annotations

import pytest

from bus.client.core.outcomes import OutcomeReader, check, error_in, payload_in, receipt_in
from bus.client.core.response import Response
from bus.errors import (
    BusError,
    ConnectionFailedError,
    DuplicateKeyError,
    InvalidSubjectError,
    ServiceError,
    TimedOutError,
    UnavailableError,
)
from bus.wire import encode_problem, encode_receipts, encode_refusal
from tests.client.support import RECEIPT, cuts

pytestmark = pytest.mark.every_engine

RECEIPT_HEADERS = {
    b"x-bus-event-id": b"e_1",
    b"x-bus-event-created-at": b"2026-01-31T12:00:00.000000000Z",
    b"x-bus-event-index": b"7",
}


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
