"""The chunked coding by itself: any data, cut anywhere, comes back; anything else is refused, never worse.

What is right is said a second time here, letter by letter as in RFC 9112 and not by patterns.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import MalformedError
from bus.server.http.chunked import ChunkReader

EXTENSIONS = st.sampled_from([b"", b";a", b" ; a=b", b';q="1 2"', b'\t;\tq\t=\t"\\"\\\\"', b";a;b;c=1", b';a="\xff"'])
TRAILERS = st.sampled_from([b"", b"X: 1\r\n", b"X:\r\n", b"X: 1\r\nAuthorization: me\r\n", b"X:\t\xff \r\n"])
TCHAR = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CUTS = st.lists(st.integers(min_value=0, max_value=10_000), max_size=8)


def _decode(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """Data, what was not used, and whether the body is complete, when *pieces* come one after the other."""
    reader = ChunkReader()
    data = rest = b""
    for piece in pieces:
        more, rest = reader.read(rest + piece)
        data += more
    return data, rest, reader.done


def _cut(body: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(body) + 1) for place in places)
    return [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]


@given(
    parts=st.lists(st.tuples(st.binary(min_size=1, max_size=40), EXTENSIONS)),
    trailers=TRAILERS,
    following=st.binary(max_size=20),
    places=CUTS,
)
def test_any_body_cut_anywhere_comes_back(
    parts: list[tuple[bytes, bytes]], trailers: bytes, following: bytes, places: list[int]
) -> None:
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part, extension in parts)
    pieces = _cut(body + b"0\r\n" + trailers + b"\r\n" + following, places)
    data, rest, done = _decode(pieces)
    assert (data, rest, done) == (b"".join(part for part, _ in parts), following, True)


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"\r\n", b"0", b"5\r\n", b"abcde", b";"]))))
def test_any_bytes_are_decoded_or_refused(pieces: list[bytes]) -> None:
    try:
        data, rest, _ = _decode(pieces)
    except MalformedError as error:
        assert "\n" not in error.message
    else:
        assert len(data) + len(rest) <= len(b"".join(pieces))


class _Letters:
    """Reads the line grammar of RFC 9112, section 7.1, one letter at a time."""

    def __init__(self, line: bytes) -> None:
        self.line = line
        self.at = 0

    @property
    def next(self) -> int:
        return self.line[self.at] if self.at < len(self.line) else -1

    def run(self, among: bytes) -> int:
        """Pass over letters *among* these; returns how many."""
        begin = self.at
        while self.next >= 0 and self.next in among:
            self.at += 1
        return self.at - begin

    def size_line(self) -> bool:
        """1*HEXDIG *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )"""
        if not self.run(b"0123456789abcdefABCDEF"):
            return False
        while self.at < len(self.line):
            if not self._extension():
                return False
        return True

    def _extension(self) -> bool:
        self.run(b" \t")
        if self.run(b";") != 1:
            return False
        self.run(b" \t")
        if not self.run(TCHAR):
            return False
        begin = self.at
        self.run(b" \t")
        if self.next != ord("="):
            self.at = begin
            return True
        self.at += 1
        self.run(b" \t")
        return self._quoted() if self.next == ord('"') else bool(self.run(TCHAR))

    def _quoted(self) -> bool:
        self.at += 1
        while self.next != ord('"'):
            if self.next == ord("\\"):
                self.at += 1
            if self.next < 0 or (self.next < 0x20 and self.next != 9) or self.next == 0x7F:
                return False
            self.at += 1
        self.at += 1
        return True

    def trailer(self) -> bool:
        """token ":" *( HTAB / SP / VCHAR / obs-text )"""
        if not self.run(TCHAR) or not self.run(b":"):
            return False
        return all(letter == 9 or (letter >= 0x20 and letter != 0x7F) for letter in self.line[self.at :])


LETTERS = st.sampled_from(
    [b"5", b"0", b"a", b"F", b"g", b" ", b"\t", b";", b"=", b'"', b"\\", b",", b":", b"(", b"\x7f", b"\0"]
)
SIZE_LINES = st.lists(LETTERS, max_size=12).map(b"".join) | st.tuples(
    st.sampled_from([b"5", b"05", b"", b"x"]), EXTENSIONS, st.lists(LETTERS, max_size=4).map(b"".join)
).map(b"".join)


@given(SIZE_LINES, CUTS)
def test_a_size_line_is_taken_exactly_if_the_grammar_has_it(line: bytes, places: list[int]) -> None:
    size = line[: len(line) - len(line.lstrip(b"0123456789abcdefABCDEF"))]
    wanted = _Letters(line).size_line()
    body = line + b"\r\n" + b"x" * (int(size or b"0", 16) if len(size) < 4 else 0)
    assert _is_taken(_cut(body, places)) == (wanted and len(size.lstrip(b"0")) <= 12)


@given(st.lists(LETTERS | st.sampled_from([b"X", b"-", b"\xff", b"X: 1"]), max_size=8).map(b"".join), CUTS)
def test_a_trailer_is_taken_exactly_if_it_is_a_field_line(line: bytes, places: list[int]) -> None:
    assert _is_taken(_cut(b"0\r\n" + line + b"\r\n", places)) == (not line or _Letters(line).trailer())


@given(st.lists(LETTERS | st.sampled_from([b"\r\n", b"\r", b"\n", b"5\r\nabcde\r\n", b"0\r\n", b"X: 1\r\n"])), CUTS)
def test_what_is_made_of_a_body_doesnt_depend_on_how_it_comes(parts: list[bytes], places: list[int]) -> None:
    body = b"".join(parts)
    assert _outcome(_cut(body, places)) == _outcome([body])


def _outcome(pieces: list[bytes]) -> tuple[bytes, bytes, bool] | None:
    try:
        return _decode(pieces)
    except MalformedError:
        return None


def _is_taken(pieces: list[bytes]) -> bool:
    return _outcome(pieces) is not None


@pytest.mark.parametrize(
    "trailer", [b"\n", b"X: 1\n", b"X: 1\rY", b"nocolon\r\n", b" folded\r\n", b": x\r\n", b"X : 1\r\n"]
)
def test_a_trailer_that_is_none_is_refused_without_waiting_for_more(trailer: bytes) -> None:
    with pytest.raises(MalformedError, match="trailer"):
        ChunkReader().read(b"0\r\n" + trailer)


@pytest.mark.parametrize(
    "body",
    [b"\r\n", b" 5\r\n", b"0x5\r\n", b"+5\r\n", b"5_0\r\n", b"5\n", b"5;\x00\r\n", b"5\r\r\n", b"1234567890abc\r\n"],
)
def test_what_is_no_size_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError, match="size"):
        ChunkReader().read(body + b"abcde\r\n")


def test_sizes_are_hexadecimal_in_either_case_and_may_be_padded() -> None:
    assert _decode([b"00000a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n"]) == (b"0123456789" * 2, b"", True)


def test_what_is_thrown_away_is_bounded() -> None:
    with pytest.raises(MalformedError, match="too long"):
        _decode([b"5;" + b"x" * 100] * 10)
    with pytest.raises(MalformedError, match="too long"):
        _decode([b"0\r\n", *[b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"] * 1000])


def test_its_repr_tells_where_it_is() -> None:
    reader = ChunkReader()
    reader.read(b"5\r\nab")
    assert repr(reader) == "<ChunkReader data, 3 bytes left>"
