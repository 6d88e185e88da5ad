"""What is on its way to the disk takes room of a quota, before the log has grown by it."""

from __future__ import annotations

import msgspec
import pytest

from bus.errors import QuotaExceededError
from bus.event import Draft
from tests.engine.support import ManualLoop, Publishing, ToldCommitter, open_namespace

QUOTA = 10_000
LARGE = Draft(subject="app.a", payload=msgspec.Raw(b'"' + b"x" * QUOTA + b'"'))


def test_what_is_being_committed_takes_its_room(loop: ManualLoop) -> None:
    committer = ToldCommitter()
    namespace = open_namespace(loop, committer=committer, quota=QUOTA)
    committer.append = namespace.store.append
    first = Publishing()
    namespace.publish([LARGE], first, now=1)
    loop.turn()
    assert committer.waiting
    with pytest.raises(QuotaExceededError, match="app has the 10"):
        namespace.publish([LARGE], Publishing(), now=1)
    committer.finish()
    assert len(first.outcomes) == 1
    with pytest.raises(QuotaExceededError):
        namespace.publish([LARGE], Publishing(), now=1)
