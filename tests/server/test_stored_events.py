"""One stored event over HTTP: as streams have it, and as if it weren't there for who may not read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.server.access import TokenFile, ask
from tests.server.support import draft, refusal, stored
from tests.support import ServerProcess, request, subscribe

pytestmark = pytest.mark.every_engine


def test_an_event_is_what_a_stream_has(bus: ServerProcess, subject: str) -> None:
    made, own = stored(bus, subject, "made"), stored(bus, subject, "own", id=f"own-{subject.split('.')[1]}")
    with subscribe(bus, subject, start="oldest") as stream:
        events = stream.take(2)
    for event, event_id in zip(events, (made, own), strict=True):
        answer = request(bus, "GET", f"/v1/events/{event_id}")
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.body == event.data


@pytest.mark.parametrize(("event_id", "status"), [("e_never", 404), ("e_00000000ffffaaaaaaaaaa", 404), ("a%20b", 400)])
def test_an_event_that_is_not_there_is_refused(bus: ServerProcess, event_id: str, status: int) -> None:
    assert refusal(request(bus, "GET", f"/v1/events/{event_id}"))[0] == status


def test_what_may_not_be_read_is_as_if_it_were_not_there(tmp_path: Path, start_server: StartServer) -> None:
    file = TokenFile(tmp_path / "tokens.toml", None, reader={"subscribe": ["app.a"]}, root={"admin": True})
    server = start_server(flags=["--auth", str(file.path)])
    for name in ("a", "b"):
        assert ask(server, file.tokens["root"], "POST", "/", draft(f"app.{name}", id=f"id-{name}")).status == 202
    found, hidden, missing = (
        ask(server, file.tokens["reader"], "GET", f"/v1/events/id-{name}") for name in ("a", "b", "c")
    )
    assert found.status == 200
    assert (hidden.status, hidden.body.replace(b"id-b", b"id-c")) == (missing.status, missing.body)
    assert missing.status == 404
