"""Both clients keep events for later, look at what is scheduled, and cancel it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bus.errors import InvalidParameterError, UnknownScheduleError
from tests.client.conftest import Connect
from tests.support import ServerProcess


def test_an_event_is_published_after_a_delay(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    receipt = client.put(f"{app}.a", 1, delay=0.001, key="k", headers={"a": "b"})
    assert (receipt.index, receipt.created_at) == (0, "")
    (event,) = client.get(f"{app}.a", start="oldest", limit=1)
    assert (event.id, event.payload, event.key, event.headers) == (receipt.id, 1, "k", {"a": "b"})


@pytest.mark.parametrize("when", [{"delay": "1h"}, {"deliver_at": datetime.now(UTC) + timedelta(days=1)}])
def test_an_event_is_cancelled(server: ServerProcess, app: str, connect: Connect, when: dict[str, Any]) -> None:
    client = connect(server.url)
    receipt = client.put(f"{app}.a", [1], id="mine", **when)
    assert receipt.id == "mine"
    (listed,) = client.schedules.list(f"{app}.*")
    assert (listed.id, listed.subject, listed.bytes, listed.payload) == (receipt.schedule_id, f"{app}.a", 3, None)
    assert client.schedules.get(receipt.schedule_id).payload == [1]
    client.schedules.cancel(receipt.schedule_id)
    assert client.schedules.list([f"{app}.a", f"{app}.b"]) == []
    with pytest.raises(UnknownScheduleError, match="delivered or cancelled"):
        client.schedules.cancel(receipt.schedule_id)


def test_an_event_recurs(server: ServerProcess, app: str, connect: Connect) -> None:
    client = connect(server.url)
    made = client.schedules.set(app, f"{app}.tick", {"a": 1}, cron="* * * * * *", time_zone="Asia/Tokyo", late="skip")
    assert (made.id, made.cron, made.time_zone, made.late) == (app, "* * * * * *", "Asia/Tokyo", "skip")
    (event,) = client.get(f"{app}.tick", start="oldest", limit=1)
    assert event.payload == {"a": 1}
    client.schedules.set(app, f"{app}.tick", cron="0 0 1 1 *")
    assert client.schedules.get(app).payload is None
    client.schedules.cancel(app)


def test_many_schedules_come_in_pages(
    server: ServerProcess, app: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(server.url)
    for _ in range(5):
        client.put(f"{app}.a", delay="1h")
    monkeypatch.setattr("bus.client.core.schedules.PAGE", 2)
    assert len({found.id for found in client.schedules.list(f"{app}.>")}) == 5
    assert len(client.schedules.list(f"{app}.>", limit=3)) == 3


@pytest.mark.parametrize(
    "options", [{"delay": 1, "confirm": 1}, {"delay": 1, "deliver_at": "2099-01-01T00:00:00Z"}, {"delay": "x"}]
)
def test_what_contradicts_itself_is_refused(server: ServerProcess, connect: Connect, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError):
        connect(server.url).put("app.a", **options)
