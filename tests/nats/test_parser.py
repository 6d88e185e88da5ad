"""The byte stream of a server, in any pieces."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.nats import Message, ProtocolError
from bus.nats.parser import MAX_LINE, Parser

Heard = tuple[str, object]

tokens = st.text("abcXYZ019_$", min_size=1, max_size=8)
subjects = st.lists(tokens, min_size=1, max_size=4).map(".".join)
sids = st.integers(1, 10**9).map(lambda number: b"%d" % number)
payloads = st.binary(max_size=200) | st.sampled_from([b"\r\n", b"MSG a 1 5\r\nhello\r\n", b"PING\r\n"])
headers = st.sampled_from([b"", b"NATS/1.0\r\n\r\n", b"NATS/1.0 503\r\n\r\n", b"NATS/1.0\r\nA: b\r\n\r\n"])


class Recorder:
    """Notes what a parser tells."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []

    def on_message(self, sid: bytes, message: Message) -> None:
        self.heard.append(("message", (sid, message)))

    def on_info(self, info: bytes) -> None:
        self.heard.append(("info", info))

    def on_ping(self) -> None:
        self.heard.append(("ping", None))

    def on_pong(self) -> None:
        self.heard.append(("pong", None))

    def on_error(self, text: str) -> None:
        self.heard.append(("error", text))


def wire(sid: bytes, message: Message) -> bytes:
    """*message* as a server sends it."""
    words = [message.subject.encode(), sid, message.reply.encode()]
    head, size = b" ".join(word for word in words if word), len(message.payload)
    if not message.headers:
        return b"MSG %b %d\r\n%b\r\n" % (head, size, message.payload)
    split = len(message.headers)
    return b"HMSG %b %d %d\r\n%b%b\r\n" % (head, split, split + size, message.headers, message.payload)


messages = st.builds(Message, subjects, subjects | st.just(""), headers, payloads)
told = st.one_of(
    st.tuples(sids, messages).map(lambda pair: (wire(*pair), ("message", pair))),
    st.just((b"PING\r\n", ("ping", None))),
    st.just((b"PONG\r\n", ("pong", None))),
    st.just((b'INFO {"a":1} \r\n', ("info", b'{"a":1} '))),
    st.just((b"-ERR 'Stale Connection'\r\n", ("error", "Stale Connection"))),
)


@given(st.lists(told, max_size=8), st.lists(st.integers(0, 2000), max_size=12))
def test_any_pieces_tell_the_same(parts: list[tuple[bytes, Heard]], cuts: list[int]) -> None:
    stream = b"".join(data for data, _ in parts)
    recorder = Recorder()
    parser = Parser(recorder)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in pairwise(edges):
        parser.feed(stream[start:end])
    assert recorder.heard == [heard for _, heard in parts]


@given(st.lists(told, min_size=1, max_size=4))
def test_byte_by_byte(parts: list[tuple[bytes, Heard]]) -> None:
    recorder = Recorder()
    parser = Parser(recorder)
    for byte in b"+OK\r\n" + b"".join(data for data, _ in parts):
        parser.feed(bytes([byte]))
    assert recorder.heard == [heard for _, heard in parts]


@pytest.mark.parametrize("line", [b"HTTP/1.1 400 Bad Request", b"MSG a 1 x", b"MSG 5", b"HMSG a 1 9", b""])
def test_what_is_not_nats(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="is another service on its port"):
        Parser(Recorder()).feed(line + b"\r\n" + b"x" * 20)


def test_a_line_without_end() -> None:
    parser = Parser(Recorder())
    with pytest.raises(ProtocolError):
        for _ in range(3 * MAX_LINE // 65536):
            parser.feed(b"x" * 65536)


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_awaited(data: bytes) -> None:
    with suppress(ProtocolError):
        Parser(Recorder()).feed(data)
