"""Which subjects a pattern takes, and several patterns on one stream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.support import publish, read
from tests.support import ServerProcess, request, subscribe

pytestmark = pytest.mark.every_engine

SUBJECTS = ("app.a", "app.b", "app.a.x", "app.a.y", "app.a.x.deep", "app.ab", "app.größe", "app.größe.x", "app.x-1_2")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that has one event on each of `SUBJECTS`."""
    server = ServerProcess(tmp_path_factory.mktemp("patterns") / "data")
    for subject in (*SUBJECTS, "orders.a"):
        publish(server, subject)
    yield server
    server.close()


@pytest.mark.parametrize(
    ("patterns", "taken"),
    [
        ("app.a", ["app.a"]),
        ("app.*", ["app.a", "app.b", "app.ab", "app.größe", "app.x-1_2"]),
        ("app.>", list(SUBJECTS)),
        ("app.a.*", ["app.a.x", "app.a.y"]),
        ("app.a.>", ["app.a.x", "app.a.y", "app.a.x.deep"]),
        ("app.*.x", ["app.a.x", "app.größe.x"]),
        ("app.*.*", ["app.a.x", "app.a.y", "app.größe.x"]),
        ("app.*.>", ["app.a.x", "app.a.y", "app.a.x.deep", "app.größe.x"]),
        ("app.größe", ["app.größe"]),
        ("app.c", []),
        ("app.A", []),
        ("app.a,app.b", ["app.a", "app.b"]),
        ("app.b,app.a,app.b", ["app.a", "app.b"]),
        ("app.*,app.a", ["app.a", "app.b", "app.ab", "app.größe", "app.x-1_2"]),
        ("app.a.x,app.b", ["app.b", "app.a.x"]),
    ],
)
def test_a_pattern_takes_its_subjects(published: ServerProcess, patterns: str, taken: list[str]) -> None:
    assert [event["subject"] for event in read(published, patterns)] == taken


def test_patterns_may_be_repeated_parameters(published: ServerProcess) -> None:
    path = "/?subject=app.a&subject=app.b,app.ab&start=oldest&follow=false"
    answer = request(published, "GET", path, Accept="application/x-ndjson")
    assert len(answer.body.splitlines()) == 3


def test_an_event_that_several_patterns_take_comes_once(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, f"{subject},{subject.rsplit('.', 1)[0]}.*,app.>", limit=1) as stream:
        publish(bus, subject)
        assert [event.kind for event in stream.rest()] == ["open", "msg", "done"]


def test_live_events_are_told_apart_within_one_batch(bus: ServerProcess, subject: str) -> None:
    with subscribe(bus, subject + ".*") as one, subscribe(bus, f"{subject}.a,{subject}.c") as two:
        drafts = b",".join(b'{"subject":"%b.%b"}' % (subject.encode(), name) for name in (b"a", b"b", b"c"))
        request(bus, "POST", "/", b"[%b]" % drafts)
        assert [b'.b"' in event.data for event in one.take(3)] == [False, True, False]
        assert [b'.b"' in event.data for event in two.take(2)] == [False, False]
