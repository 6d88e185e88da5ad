"""What becomes of independent events that travel in one request."""

from __future__ import annotations

from dataclasses import dataclass, field

from bus.client.core.credentials import Credentials
from bus.client.core.publish_batch import MOST_BATCH_BYTES, MOST_BATCH_EVENTS, PublishBatch, fitting
from bus.client.core.request import Endpoint, Requests
from bus.client.core.response import ResponseReader
from bus.client.core.retry import NotConnectedError
from bus.errors import (
    BusError,
    ConnectionFailedError,
    DuplicateKeyError,
    InvalidSubjectError,
)
from bus.event import Receipt
from bus.wire import encode_problem, encode_receipts, encode_refusal

REQUESTS = Requests(Endpoint.parse("http://localhost:2021"), Credentials())


@dataclass(slots=True, eq=False)
class Item:
    line: bytes = b"{}"
    keyed: bool = False
    deadline: float = 100.0
    uncertain: bool = False
    failure: BusError | None = None
    outcomes: list[Receipt | BusError] = field(default_factory=list)

    def settle(self, outcome: Receipt | BusError) -> None:
        self.outcomes.append(outcome)


def receipt(index: int) -> Receipt:
    return Receipt(f"e_{index}", "2026-01-31T12:00:00Z", index)


def answer(body: bytes, status: bytes = b"202 Accepted") -> ResponseReader:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
    return reader


def test_a_lone_event_goes_as_json_and_several_as_lines() -> None:
    assert b"application/json" in PublishBatch([Item()], REQUESTS).request()
    assert b"application/x-ndjson" in PublishBatch([Item(), Item()], REQUESTS).request()


def test_each_event_gets_its_own_outcome() -> None:
    items = [Item(), Item(), Item()]
    lines = PublishBatch(items, REQUESTS)
    body = encode_receipts([receipt(1)]) + encode_refusal(InvalidSubjectError("no")) + encode_receipts([receipt(2)])
    lines.receive(answer(body))
    assert lines.ended(None, now=0.0) == []
    assert [type(item.outcomes[0]) for item in items] == [Receipt, InvalidSubjectError, Receipt]
    assert all(len(item.outcomes) == 1 for item in items)


def test_outcomes_are_told_while_the_answer_comes() -> None:
    items = [Item(), Item()]
    lines = PublishBatch(items, REQUESTS)
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000\r\n\r\n" + encode_receipts([receipt(1)]))
    lines.receive(reader)
    assert [item.outcomes for item in items] == [[receipt(1)], []]


def test_a_refusal_of_the_whole_request_is_everybodys() -> None:
    items = [Item(), Item()]
    lines = PublishBatch(items, REQUESTS)
    lines.receive(answer(encode_problem(InvalidSubjectError("no")), b"400 Bad Request"))
    lines.ended(None, now=0.0)
    assert all(isinstance(item.outcomes[0], InvalidSubjectError) for item in items)


def test_when_the_connection_breaks_only_keyed_events_go_again() -> None:
    stored, keyed, plain = Item(), Item(keyed=True), Item()
    lines = PublishBatch([stored, keyed, plain], REQUESTS)
    lines.receive(answer(encode_receipts([receipt(1)])))
    again = lines.ended(ConnectionFailedError("broke"), now=0.0)
    assert again == [keyed]
    assert keyed.uncertain
    assert stored.outcomes == [receipt(1)]
    assert keyed.outcomes == []
    assert isinstance(plain.outcomes[0], ConnectionFailedError)


def test_a_duplicate_of_an_uncertain_attempt_is_its_success() -> None:
    uncertain, certain = Item(keyed=True, uncertain=True), Item(keyed=True)
    for item in (uncertain, certain):
        lines = PublishBatch([item], REQUESTS)
        lines.receive(answer(encode_problem(DuplicateKeyError()), b"409 Conflict"))
    assert isinstance(certain.outcomes[0], DuplicateKeyError)
    reader = ResponseReader()
    body = encode_refusal(DuplicateKeyError(receipt=receipt(4))) * 2
    reader.feed(b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    uncertain.outcomes.clear()
    PublishBatch([uncertain, Item()], REQUESTS).receive(reader)
    assert uncertain.outcomes == [receipt(4)]


def test_what_could_not_be_sent_goes_again_until_its_deadline() -> None:
    early, late = Item(deadline=1.0), Item(deadline=9.0)
    again = PublishBatch([early, late], REQUESTS).ended(NotConnectedError("refused"), now=5.0)
    assert again == [late]
    assert not late.uncertain
    assert isinstance(early.outcomes[0], NotConnectedError)


def test_an_answer_without_every_outcome_leaves_the_rest_uncertain() -> None:
    items = [Item(), Item()]
    lines = PublishBatch(items, REQUESTS)
    lines.receive(answer(encode_receipts([receipt(1)])))
    lines.ended(None, now=0.0)
    assert isinstance(items[1].outcomes[0], ConnectionFailedError)


def test_a_request_takes_what_fits() -> None:
    assert fitting([]) == 0
    assert fitting([Item()] * (MOST_BATCH_EVENTS + 5)) == MOST_BATCH_EVENTS
    assert fitting([Item(b"x" * MOST_BATCH_BYTES), Item()]) == 1
    assert fitting([Item(b"x" * (2 * MOST_BATCH_BYTES)), Item()]) == 1
