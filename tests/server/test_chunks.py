"""The chunked coding by itself: any data, cut anywhere, comes back; anything else is refused, never worse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.errors import MalformedError
from bus.server.chunks import ChunkReader

EXTENSIONS = st.sampled_from([b"", b";a", b" ; a=b", b';q="1 2"', b"\t"])
TRAILERS = st.sampled_from([b"", b"X: 1\r\n", b"X: 1\r\nAuthorization: me\r\n"])


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
    places=st.lists(st.integers(min_value=0, max_value=10_000), max_size=8),
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
