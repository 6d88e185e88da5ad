"""Whether a leader that tells where its stream ends may be believed."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from bus.engine.jetstream import namespace
from bus.engine.jetstream.namespace import JetNamespace
from bus.engine.jetstream.naming import Naming
from bus.engine.jetstream.streams import leads_for_certain
from bus.errors import UnavailableError
from bus.nats import NANOSECONDS, ClusterInfo, PeerInfo, StreamConfig, StreamInfo, StreamState
from tests.engine.jetstream.fake_nats import Asked, Said, connected

LATELY, LONG_AGO, NEVER = NANOSECONDS, 4 * NANOSECONDS, 0


@pytest.mark.parametrize(
    ("heard", "certain"),
    [
        ([], True),
        ([LATELY, LATELY], True),
        ([LATELY, LONG_AGO], True),
        ([LONG_AGO, LONG_AGO], False),
        ([LATELY, LATELY, LONG_AGO, LONG_AGO], True),
        ([LATELY, LONG_AGO, LONG_AGO, LONG_AGO], False),
        ([LATELY, NEVER], True),
        ([LONG_AGO, NEVER], False),
    ],
)
def test_a_leader_has_heard_of_a_majority_lately(heard: list[int], certain: bool) -> None:
    followers = tuple(PeerInfo(name=f"n{number}", active=active) for number, active in enumerate(heard))
    cluster = ClusterInfo(leader="n", replicas=followers)
    assert leads_for_certain(StreamInfo(StreamConfig(name="s"), StreamState(), cluster=cluster)) is certain


def test_a_node_by_itself_leads_always() -> None:
    assert leads_for_certain(StreamInfo(StreamConfig(name="s"), StreamState()))


def test_what_is_stored_is_known_by_the_word_of_a_certain_leader_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was cut off says that nothing has come; the next one, that something has, which doesn't come here."""
    monkeypatch.setattr(namespace, "SETTLE_SECONDS", 0.5)
    told = iter([LONG_AGO, LONG_AGO])

    def answer(asked: Asked) -> Said | None:
        if "STREAM.INFO" not in asked.subject:
            return None
        active = next(told, LATELY)
        return Said(msgspec.json.encode(_info(last=5 if active == LONG_AGO else 9, active=active)))

    async def main() -> None:
        async with connected(answer) as client:
            loop = asyncio.get_running_loop()
            info = _info(last=5, active=LATELY)
            found = JetNamespace("app", info, lot="lot", jetstream=client.jetstream, naming=Naming("p"), loop=loop)
            with pytest.raises(UnavailableError, match="what was stored last doesn't come in"):
                await found.settled()
            await found.close()

    asyncio.run(main())


def _info(*, last: int, active: int) -> StreamInfo:
    cluster = ClusterInfo(
        leader="n1", replicas=(PeerInfo(name="n2", active=active), PeerInfo(name="n3", active=active))
    )
    return StreamInfo(StreamConfig(name="s"), StreamState(first_seq=1, last_seq=last), cluster=cluster)
