"""The attacks stay within the limits, and do there what they are for."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks import attackers
from benchmarks.attacks import ATTACKS, PERIOD, Honest, waits
from bus.config import Settings
from bus.drafts import decode_lines
from bus.engine.embedded.batch_builder import BATCH_EVENTS
from bus.errors import BusError
from bus.payload import check_payload
from bus.server.http import limits
from bus.subject import MAX_PATTERNS, Filter, parse_subject


def test_an_answer_that_is_late_counts_for_those_who_would_have_asked_meanwhile() -> None:
    assert list(waits(PERIOD / 2)) == [PERIOD / 2]
    assert list(waits(2.5 * PERIOD)) == pytest.approx([2.5 * PERIOD, 1.5 * PERIOD, 0.5 * PERIOD])


def test_a_row_says_whether_the_goal_is_met() -> None:
    assert Honest([0.001] * 99 + [0.030]).row("a", "7 events") == "| a | 1.00 | 30.00 | 30.00 | 7 events | yes |"
    assert Honest([0.001] * 98 + [0.060] * 2).row("a", "7 events").endswith("| no |")
    assert Honest([0.001], [b"HTTP/1.1 503 "]).row("a", "7 events").endswith("| no, 1 refused |")


def test_patterns_fill_the_request_line_and_take_nothing() -> None:
    wanted = attackers.wild_patterns()
    line = attackers.subscribe(wanted, start="oldest", follow="false").partition(b"\r\n")[0]
    assert limits.REQUEST_LINE_BYTES * 0.95 < len(line) <= limits.REQUEST_LINE_BYTES
    found = Filter.parse(wanted)
    subject = parse_subject(attackers.deep_subject(1))[1]
    assert not found.matches(subject)
    assert len(found.patterns) == MAX_PATTERNS
    assert found.work > MAX_PATTERNS * (attackers.LEVELS - attackers.BRANCHES)


def test_streams_have_patterns_of_their_own() -> None:
    assert not set(attackers.wild_patterns(0)) & set(attackers.wild_patterns(attackers.STREAMS - 1))


def test_arrays_are_as_large_as_batches_may_be() -> None:
    for body in (
        attackers.array(attackers.deep_subject, first=10 * BATCH_EVENTS),
        attackers.array(attackers.bulk_subject, padding=attackers.PADDING),
    ):
        assert len(body) <= attackers.BODY_BYTES
        assert len(msgspec.json.decode(body)) == BATCH_EVENTS


@pytest.mark.parametrize("parts", [attackers.BRACKETS, attackers.ESCAPES, attackers.NUMBERS])
def test_payloads_are_as_large_as_bodies_may_be_and_taken(parts: tuple[str, ...]) -> None:
    body = attackers.event(*parts)
    assert Settings.read({"namespaces": "app"}, {}).server.max_body == attackers.BODY_BYTES
    assert attackers.BODY_BYTES * 0.99 < len(body) <= attackers.BODY_BYTES
    check_payload(msgspec.json.decode(body, type=dict[str, msgspec.Raw])["payload"])


def test_every_attack_has_a_name_that_a_table_can_hold() -> None:
    assert not [name for name in ATTACKS if "|" in name]


def test_lines_with_an_unknown_field_are_refused() -> None:
    (found,) = decode_lines([attackers.UNKNOWN_FIELD.format(7).encode()])
    assert isinstance(found, BusError)
