"""What is written of a consumer, made to fit a log that is shorter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bus.engine.administration import DeadLetter
from bus.engine.consumer.kept_delivery import KeptDelivery
from bus.engine.embedded.consumers.consumer_recovery import corrections, fit
from bus.engine.embedded.consumers.consumer_store import ConsumerState

indexes = st.integers(1, 50)
states = st.builds(
    ConsumerState,
    name=st.just("billing"),
    namespace=st.just("app"),
    patterns=st.just(["app.>"]),
    redelivery=st.just((5.0,)),
    redelivery_count=st.just(3),
    by_key=st.booleans(),
    cursor=indexes,
    pending=st.lists(st.builds(KeptDelivery, indexes, st.integers(0, 3)), max_size=5),
    dead=st.lists(
        st.builds(
            DeadLetter, index=indexes, event_id=st.just("e"), subject=st.just("app.a"), attempts=st.just(3),
            reason=st.just("rejected"), time=st.just(0), letter=st.integers(0, 60),
        ),
        max_size=5,
    ),
)  # fmt: skip


@given(states, st.integers(1, 60))
def test_nothing_names_an_event_beyond_the_end_and_all_else_stays(state: ConsumerState, next: int) -> None:
    fitting = fit(state, next=next)
    named = [*(found.index for found in fitting.pending), *(found.index for found in fitting.dead)]
    assert all(index < next for index in [*named, *(found.letter for found in fitting.dead)])
    assert fitting.cursor == min(state.cursor, next)
    assert fitting.pending == [found for found in state.pending if found.index < next]
    assert [found.index for found in fitting.dead] == [found.index for found in state.dead if found.index < next]
    assert fit(fitting, next=next) == fitting
    if next > 60:
        assert fitting == state
    forgotten = len(state.pending) - len(fitting.pending)
    assert f"{forgotten} pending" in corrections(state, fitting)
