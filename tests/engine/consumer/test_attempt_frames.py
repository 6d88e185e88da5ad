"""Deliveries as they go out: the frame that is stored, and which attempt it is."""

from __future__ import annotations

import msgspec
import pytest

from bus.engine.consumer.attempt_frames import made_again, nth_attempt
from bus.frame import Format, id_of, join_frames, json_of
from tests.engine.support import ManualLoop, batch, event_id, open_namespace, store


@pytest.mark.parametrize("form", Format)
def test_what_was_sent_can_be_made_again_with_its_attempts(loop: ManualLoop, form: Format) -> None:
    namespace = open_namespace(loop)
    store(namespace, batch(1, ["app.a", "app.b", "app.c"], key="k"))
    frames = [nth_attempt(namespace.frame(index) or b"", attempts, form) for index, attempts in ((1, 1), (3, 12))]
    fields = [msgspec.json.decode(json_of(frame)) for frame in frames]
    told = [None, None] if form is Format.CORE else [1, 12]
    assert [(found["index"], found["key"]) for found in fields] == [(1, "k"), (3, "k")]
    assert [found.get("attempts") for found in fields] == told
    assert [id_of(frame) for frame in frames] == [event_id(1), event_id(3)]
    assert made_again(namespace, frames, form)() == join_frames(frames, form)
