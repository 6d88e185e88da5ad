"""What a subject is: the check that publishers pass, beside the grammar as an expression."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bus.errors import InvalidSubjectError
from bus.patterns import DEAD_SEGMENT
from bus.subject import MAX_SUBJECT_BYTES, parse_subject

GRAMMAR = re.compile(r"[\w-]+(?:\.[\w-]+)+")

texts = st.text(
    st.sampled_from("aZ09_-..é٣Ⅷ²ß語\u0301 *>\n\x00/") | st.characters(exclude_categories=["Cs"]), max_size=12
)


def is_taken(text: str) -> bool:
    try:
        parse_subject(text)
    except InvalidSubjectError:
        return False
    return True


@given(texts)
@example("")
@example(".")
@example("a.")
@example(".a")
@example("a..b")
@example("-._")
@example("a.b\n")
def test_a_subject_is_what_the_grammar_takes(text: str) -> None:
    assert is_taken(text) is (GRAMMAR.fullmatch(text) is not None)


def test_a_subject_has_256_bytes_at_most() -> None:
    assert is_taken("a." + "é" * 127)
    assert not is_taken("a." + "é" * 128)
    assert len(f"a.{'é' * 127}".encode()) == MAX_SUBJECT_BYTES


def test_nobody_publishes_to_dead_letters() -> None:
    with pytest.raises(InvalidSubjectError, match="Bus alone"):
        parse_subject(f"app.{DEAD_SEGMENT}.a")
