"""Errors that are kept until somebody is told: thousands at a time, and each would keep alive what was around it."""

from __future__ import annotations

import pytest

from bus.drafts import decode_lines
from bus.engine.guard import as_bus_error
from bus.errors import BusError, InvalidEventError

LINES = (
    b'{"subject":"app.a","fiel":1}',
    b'{"subject":"app.a"',
    b'{"subject":1}',
    b"",
    b"\xff",
    b'{"subject":"app.a","payload":1e999}',
    b'{"subject":"app.a","payload":%b}' % (b"[" * 300 + b"]" * 300),
)


def leads_nowhere(error: BaseException) -> bool:
    return error.__traceback__ is None and error.__cause__ is None and error.__context__ is None


@pytest.mark.parametrize("line", LINES)
def test_the_refusal_of_a_line_leads_nowhere(line: bytes) -> None:
    (refusal,) = decode_lines([line])
    assert isinstance(refusal, BusError)
    assert leads_nowhere(refusal)


def test_what_is_told_leads_nowhere() -> None:
    def fail() -> None:
        raise KeyError("a")

    def refuse() -> None:
        try:
            fail()
        except KeyError as error:
            raise InvalidEventError("no event") from error

    for call, kind in ((refuse, InvalidEventError), (fail, BusError)):
        with pytest.raises(Exception) as raised:
            call()
        assert not leads_nowhere(raised.value)
        told = as_bus_error(raised.value, "a test")
        assert type(told) is kind
        assert leads_nowhere(told)
