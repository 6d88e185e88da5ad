"""Server-sent events as anybody may write them: line ends, comments, several lines of data, cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import sse
from bus.errors import TooLargeError
from bus.sse import BlockReader, EventReader, ServerSentEvent

LINE_ENDS = ["\n", "\r\n", "\r"]

lines = st.one_of(
    st.sampled_from(
        ["", ":", ": comment", "data", "data:", "data: ", "data:  two", "retry: 7", "retry: x", "other: 1"]
    ),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["data", "event", "id", "datum", "\ufeffdata"]),
        st.sampled_from([":", ": ", ":: "]),
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8),
    ),
)


def by_the_book(text: str) -> list[tuple[str, bytes, str]]:
    """What the algorithm of the specification dispatches, followed line by line."""
    found, data, kind, name = [], "", "", ""
    for line in text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
        if not line:
            if data:
                found.append((kind or "message", data.removesuffix("\n").encode(), name))
            data = kind = name = ""
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "data":
                data += value + "\n"
            case "event":
                kind = value
            case "id":
                name = value
    return found


def read(data: bytes, cuts: list[int]) -> list[tuple[str, bytes, str]]:
    reader, events = EventReader(), []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for begin, end in pairwise(edges):
        events += reader.feed(data[begin:end])
    return [(event.kind, event.data, event.id) for event in events]


@given(
    st.lists(st.tuples(lines, st.sampled_from(LINE_ENDS)), max_size=24),
    st.sampled_from(["", "\ufeff"]),
    st.lists(st.integers(0, 1 << 16), max_size=12),
)
def test_a_stream_is_read_as_the_specification_says_however_it_is_cut(
    written: list[tuple[str, str]], mark: str, cuts: list[int]
) -> None:
    text = mark + "".join(line + end for line, end in written)
    assert read(text.encode(), cuts) == by_the_book(text)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_every_line_end_in_single_bytes(end: str) -> None:
    text = 'id: e_1\nevent: msg\ndata: {\ndata:   "a": 1\ndata: }\nretry: 5\n\n'.replace("\n", end)
    reader = EventReader()
    pieces = [piece for byte in text.encode() for piece in (bytes([byte]), b"")]
    events = [event for piece in pieces for event in reader.feed(piece)]
    assert events == [ServerSentEvent("msg", b'{\n  "a": 1\n}', "e_1", 5)]


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_bytes_of_any_kind_are_read_without_an_error(data: bytes, cuts: list[int]) -> None:
    read(data, cuts)


def test_a_number_of_any_length_is_no_reason_to_fail() -> None:
    (event,) = EventReader().feed(b"retry: %b\ndata: 1\n\n" % (b"9" * 5000))
    assert event.retry_ms is None


def test_an_event_that_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "LONGEST_BLOCK", 1 << 16)
    reader = BlockReader()
    with pytest.raises(TooLargeError, match="longer than"):
        for _ in range(100):
            reader.feed(b"data: " + b"x" * 1000)
