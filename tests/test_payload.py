"""Payloads that no subscriber's decoder could take are told from those it can: Hypothesis against plain decoding."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bus.errors import InvalidEventError
from bus.payload import DEEPEST_PAYLOAD, check_payload, depth

TEXT = st.text(st.sampled_from('[]{}"\\:,e0123é'), max_size=12)
NUMBERS = st.one_of(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", "-"]),
            st.integers(0, 9999).map(str),
            st.sampled_from(["", ".0", ".012", ".5"]),
            st.sampled_from(["", "e", "E", "e+", "E+", "e-", "e00"]).flatmap(
                lambda mark: st.integers(0, 1000).map(lambda power: f"{mark}{power}" if mark else "")
            ),
        ),
    ),
    st.integers(200, 320).map(lambda digits: "9" * digits),
    st.tuples(st.integers(180, 260), st.integers(40, 130)).map(lambda found: "9" * found[0] + f"e{found[1]}"),
)
VALUES = st.recursive(
    st.one_of(NUMBERS, st.sampled_from(["null", "true", "false", "1e400"]), TEXT.map(json.dumps)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6).map(lambda values: "[" + ",".join(values) + "]"),
        st.dictionaries(TEXT.map(json.dumps), inner, max_size=4).map(
            lambda found: "{" + ", ".join(f"{key} : {value}" for key, value in found.items()) + "}"
        ),
    ),
    max_leaves=30,
)  # fmt: skip


def _takes(text: bytes) -> bool:
    try:
        check_payload(msgspec.Raw(text))
    except InvalidEventError:
        return False
    return True


def _fits_doubles(value: Any) -> bool:
    """Whether each number of *value*, decoded with exact integers, is within a double."""
    match value:
        case list():
            return all(map(_fits_doubles, value))
        case dict():
            return all(map(_fits_doubles, value.values()))
        case int() | float():
            return abs(value) <= 1.7976931348623157e308
    return True


UNTIMED = settings(suppress_health_check=[HealthCheck.too_slow])


@UNTIMED
@given(VALUES, st.booleans())
@example("1e400", True)
@example('["1e400", 1e308]', True)
@example("-1E+0309", True)
@example("1" + "0" * 309, False)
@example("1" + "0" * 308, False)
def test_exactly_numbers_that_a_double_can_not_hold_are_refused(text: str, padded: bool) -> None:
    """Long payloads are looked at in another way than short ones."""
    text = f'[{text}, "{"x" * 100}"]' if padded else text
    assert _takes(text.encode()) == _fits_doubles(json.loads(text))


def _measure(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return (isinstance(value, dict | list)) + max(map(_measure, children), default=0)


@UNTIMED
@given(VALUES)
@example('["]", "[", "\\\\", "\\"[[["]')
def test_depth_is_what_a_decoder_finds(text: str) -> None:
    assert depth(text.encode()) == _measure(json.loads(text))


@pytest.mark.parametrize("around", [b"", b'"' + b"[" * 1000 + b'",'])
def test_the_deepest_payload_is_taken_and_one_deeper_is_not(around: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b"[" + around + b",".join([b"[" * (levels - 1) + b"]" * (levels - 1)] * 2) + b"]"

    assert depth(nested(DEEPEST_PAYLOAD)) == DEEPEST_PAYLOAD
    assert _takes(nested(DEEPEST_PAYLOAD))
    assert not _takes(nested(DEEPEST_PAYLOAD + 1))
