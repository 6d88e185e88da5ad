"""Sessions and tickets: only what the server made counts, in its time, and a ticket once."""

from __future__ import annotations

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.access import sessions
from bus.access.sessions import TICKET_SECONDS, Sessions, Tickets
from bus.errors import OverloadedError, TooLargeError, UnauthorizedError
from bus.units import SECOND_NS

KEY = bytes(range(32))
NOW = 1_800_000_000 * SECOND_NS
END = NOW + 3600 * SECOND_NS


@given(st.binary(max_size=2000))
def test_a_session_opens_with_the_same_key_until_its_end(authorization: bytes) -> None:
    cookie = Sessions(KEY).begin(authorization, ends=END).encode()
    assert Sessions(KEY).open(cookie, now=END - 1) == (authorization, END)
    for key, now in ((KEY, END), (bytes(32), NOW)):
        with pytest.raises(UnauthorizedError, match="begin one anew"):
            Sessions(key).open(cookie, now=now)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_what_is_no_session_is_refused(cookie: bytes) -> None:
    with pytest.raises(UnauthorizedError):
        Sessions(KEY).open(cookie, now=NOW)


@given(st.data())
def test_a_session_that_was_changed_is_refused(data: st.DataObject) -> None:
    cookie = bytearray(Sessions(KEY).begin(b"Bearer x", ends=END).encode())
    place = data.draw(st.sampled_from(range(len(cookie) - 2)))
    cookie[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(UnauthorizedError):
        Sessions(KEY).open(bytes(cookie), now=NOW)


def test_what_no_cookie_takes_is_refused() -> None:
    with pytest.raises(TooLargeError, match="ticket"):
        Sessions(KEY).begin(b"Bearer " + secrets.token_bytes(3000), ends=END)


def test_a_ticket_counts_once_and_for_a_while() -> None:
    tickets = Tickets()
    used, late = (tickets.issue(b"Bearer x", owner="page", now=NOW) for _ in range(2))
    assert tickets.redeem(used, now=NOW + 1) == b"Bearer x"
    for ticket, now in ((used, NOW + 2), (late, NOW + TICKET_SECONDS * SECOND_NS), (late, NOW), ("never", NOW)):
        with pytest.raises(UnauthorizedError, match="ask for another"):
            tickets.redeem(ticket, now=now)


def test_only_so_many_tickets_of_one_are_out_and_others_get_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_TICKETS", 2)
    tickets = Tickets()
    one, _ = (tickets.issue(b"", owner="greedy", now=NOW) for _ in range(2))
    with pytest.raises(OverloadedError):
        tickets.issue(b"", owner="greedy", now=NOW)
    assert tickets.issue(b"", owner="other", now=NOW)
    tickets.redeem(one, now=NOW)
    assert tickets.issue(b"", owner="greedy", now=NOW)
    with pytest.raises(OverloadedError):
        tickets.issue(b"", owner="greedy", now=NOW)
    assert tickets.issue(b"", owner="greedy", now=NOW + TICKET_SECONDS * SECOND_NS)


def test_only_so_many_tickets_of_all_are_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_TICKETS_IN_ALL", 2)
    tickets = Tickets()
    for owner in ("one", "two"):
        tickets.issue(b"", owner=owner, now=NOW)
    with pytest.raises(OverloadedError):
        tickets.issue(b"", owner="three", now=NOW)
