"""Blocks of headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.nats import Message, ProtocolError, decode_headers, encode_headers

names = st.text("abcdefghijklmnopqrstuvwxyzABC-", min_size=1, max_size=10)
values = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=20).map(str.strip)


@given(st.dictionaries(names, values, max_size=5))
def test_headers_come_back(headers: dict[str, str]) -> None:
    block = encode_headers(headers)
    message = Message("a", "", block, b"")
    assert decode_headers(block) == headers
    assert {name: message.header(name) for name in headers} == headers
    assert message.status == 0
    assert message.header("missing") is None


def test_a_status() -> None:
    message = Message("a", "", b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n", b"")
    assert (message.status, message.description) == (408, "Request Timeout")
    assert message.header("Nats-Pending-Messages") == "3"


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb"])
def test_a_line_break_makes_no_header_of_its_own(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        encode_headers({"Name": value})


def test_no_block_of_headers() -> None:
    with pytest.raises(ProtocolError, match=r"not NATS/1\.0"):
        decode_headers(b"HTTP/1.1 200 OK\r\n\r\n")
