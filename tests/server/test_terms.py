"""The terms of a durable consumer: kept whoever joins, changed by nobody by the way."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.conftest import StartServer
from tests.server.support import refusal, target
from tests.support import Answer, ServerProcess, request, subscribe

pytestmark = [pytest.mark.every_engine]

GIVEN = {"redelivery": "1m,5m", "redelivery_count": 7, "order": "key"}
DEFAULTS = {"redelivery": "5s", "redelivery_count": 3, "order": None}


def _terms(server: ServerProcess, name: str) -> dict[str, Any]:
    about = msgspec.json.decode(request(server, "GET", f"/v1/consumers/{name}").body)
    return {term: about[term] for term in DEFAULTS}


def _join(server: ServerProcess, subject: str, name: str, **terms: Any) -> None:
    with subscribe(server, subject, ack="manual", consumer=name, **terms) as stream:
        assert stream.status == 200


def _refused(server: ServerProcess, subject: str, name: str, **terms: object) -> Answer:
    return request(server, "GET", target(subject, ack="manual", consumer=name, **terms))


@pytest.mark.embedded_only("order=key")
@pytest.mark.parametrize("look", [{}, {"redelivery": "0s"}, {"redelivery": "", "redelivery_count": "", "order": ""}])
def test_who_gives_no_terms_changes_none(bus: ServerProcess, subject: str, look: dict[str, str]) -> None:
    name = f"look-{len(look)}"
    _join(bus, subject, name, **GIVEN)
    _join(bus, subject, name, **look)
    assert _terms(bus, name) == GIVEN


@pytest.mark.parametrize(
    ("made", "given", "said"),
    [
        pytest.param({}, {"order": "key"}, "no order, not order=key", marks=pytest.mark.embedded_only("order=key")),
        ({"redelivery": "1m"}, {"redelivery": "30s"}, "redelivery=1m, not 30s"),
        ({"redelivery": "1s,5s"}, {"redelivery": "1s"}, "redelivery=1s,5s, not 1s"),
        ({"redelivery_count": 5}, {"redelivery_count": 3}, "redelivery_count=5, not 3"),
        ({"redelivery_count": 5}, {"redelivery_count": 0}, "redelivery_count=5, not 0"),
        ({"redelivery": "1m", "redelivery_count": 5}, {"redelivery": "2m", "redelivery_count": 6}, " and "),
    ],
)
def test_terms_that_differ_are_refused_and_named(
    bus: ServerProcess, subject: str, made: dict[str, object], given: dict[str, object], said: str
) -> None:
    _join(bus, subject, "differs", **made)
    before = _terms(bus, "differs")
    status, text = refusal(_refused(bus, subject, "differs", **given))
    assert (status, said in text, "leave it out" in text) == (409, True, True), text
    assert _terms(bus, "differs") == before
    assert request(bus, "DELETE", "/v1/consumers/differs").status == 204


@pytest.mark.embedded_only("order=key")
def test_the_same_terms_are_no_difference(bus: ServerProcess, subject: str) -> None:
    _join(bus, subject, "same", **GIVEN)
    _join(bus, subject, "same", redelivery="60s,300s", redelivery_count="7")
    _join(bus, subject, "same", order="key")
    assert _terms(bus, "same") == GIVEN
    _join(bus, subject, "unlimited", redelivery_count="-1")
    _join(bus, subject, "unlimited", redelivery_count="0")


def test_a_redelivery_nobody_gave_is_set_by_the_first_who_does(server: ServerProcess) -> None:
    _join(server, "app.a", "first")
    assert _terms(server, "first") == DEFAULTS
    _join(server, "app.a", "first", redelivery="30s", redelivery_count=5)
    server.stop()
    server.start()
    assert _terms(server, "first") == DEFAULTS | {"redelivery": "30s", "redelivery_count": 5}
    assert _refused(server, "app.a", "first", redelivery="5s").status == 409


def test_a_stream_that_acknowledges_is_told_how_long_an_attempt_may_take(bus: ServerProcess, subject: str) -> None:
    _join(bus, subject, "told", redelivery="60s,5m")
    told: list[tuple[dict[str, Any], list[int] | None]] = [
        ({"ack": "manual", "consumer": "told"}, [60, 300]),
        ({"ack": "manual"}, [5]),
        ({}, None),
    ]
    for options, redelivery in told:
        with subscribe(bus, subject, **options) as stream:
            (opened,) = stream.take(1, "open")
            assert msgspec.json.decode(opened.data).get("redelivery") == redelivery


def test_there_are_at_most_so_many_durable_consumers(start_server: StartServer) -> None:
    server = start_server(flags=["--max-consumers", "2"])
    for name in ("a", "b", "a"):
        _join(server, "app.a", name)
    status, text = refusal(_refused(server, "app.a", "c"))
    assert (status, "--max-consumers" in text) == (409, True), text
    assert request(server, "DELETE", "/v1/consumers/a").status == 204
    _join(server, "app.a", "c")
    server.stop()
    fewer = start_server(flags=["--max-consumers", "1"])
    for name in ("b", "c"):
        _join(fewer, "app.a", name)
