"""Bytes of the server as answers, however they are cut."""

from __future__ import annotations

import pytest

from bus.client.core.outcomes import receipt_in
from bus.client.core.response import Response, ResponseReader
from bus.errors import (
    ConnectionFailedError,
)
from tests.client.support import RECEIPT, cuts

ACCEPTED = (
    b"HTTP/1.1 202 Accepted\r\nX-BUS-EVENT-ID: e_1\r\nX-BUS-EVENT-CREATED-AT: 2026-01-31T12:00:00.000000000Z\r\n"
    b"X-BUS-EVENT-INDEX: 7\r\nContent-Length: 0\r\n\r\n"
)
CHUNKED = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


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
