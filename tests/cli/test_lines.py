"""Cutting a source into lines and reading payloads, without a server."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.cli import line_input
from bus.cli.line_input import Line, read_lines
from bus.cli.publish_lines import payload_of
from bus.errors import InvalidEventError


class Pieces(io.RawIOBase):
    """A source that gives its bytes in the pieces it was made of, as a pipe may."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = [piece for piece in pieces if piece]

    def read(self, size: int = -1, /) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def _flat(source: io.RawIOBase) -> list[Line]:
    return [line for batch in read_lines(source) for line in batch]


@given(st.lists(st.binary(max_size=8).map(lambda data: data.replace(b"x", b"\n")), max_size=20))
def test_lines_are_the_same_however_the_source_is_cut(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    found = _flat(Pieces(pieces))
    expected = [(number, text) for number, text in enumerate(whole.split(b"\n"), 1) if text.strip()]
    assert [(line.number, line.text) for line in found] == expected
    assert all(whole[: line.end].removesuffix(b"\n").endswith(line.text) for line in found)


def test_a_line_goes_out_before_the_next_one_comes() -> None:
    batches = read_lines(Pieces([b"one\ntw", b"o\n", b"three"]))
    assert [[line.text for line in batch] for batch in batches] == [[b"one"], [b"two"], [b"three"]]


def test_batches_are_bounded() -> None:
    sizes = [len(batch) for batch in read_lines(io.BytesIO(b"1\n" * (2 * line_input.LINES_AT_ONCE + 1)))]  # type: ignore[arg-type]
    assert sizes == [line_input.LINES_AT_ONCE, line_input.LINES_AT_ONCE, 1]


def test_a_line_without_an_end_is_refused_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_input, "LONGEST_INPUT_LINE", 10)
    batches = read_lines(Pieces([b"1\n2", b"2" * 10, b"2" * 10]))
    assert next(batches)[0].text == b"1"
    with pytest.raises(InvalidEventError, match="line 2 is longer than"):
        next(batches)


@pytest.mark.parametrize("text", ['{"a" : 1}', "1.10", "[]", '"text"', "null", "12345678901234567890123"])
def test_json_is_sent_as_it_stands(text: str) -> None:
    assert bytes(payload_of(f" {text}\n".encode())) == text.encode()


@pytest.mark.parametrize("text", ["test", "", "{broken", "NaN", "grüße\n", "'1'", "1 2"])
def test_anything_else_is_sent_as_a_json_string(text: str) -> None:
    assert json.loads(bytes(payload_of(text.encode()))) == text


@pytest.mark.parametrize(("text", "reason"), [(b"\xff", "not UTF-8"), (b"[" * 100_000, "nested too deep")])
def test_what_is_neither_is_refused(text: bytes, reason: str) -> None:
    with pytest.raises(InvalidEventError, match=reason):
        payload_of(text)
