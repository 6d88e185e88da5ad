"""Windows: what a connection has in flight, and whether it is still heard of."""

from __future__ import annotations

from bus.engine.consumer.delivery import Delivery, DeliveryState, Loss
from bus.engine.consumer.windows import Windows


def test_what_is_in_flight_is_told_when_the_connection_is_gone() -> None:
    windows = Windows()
    window = windows.open("c1", "w")
    for index in (1, 2):
        window.take(Delivery(index, f"e{index}"), now=3)
    window.let_go(window.flying[1])
    (left,) = windows.close(window)
    assert (left.index, left.owner, left.worker, left.since, left.state) == (2, window, "w", 3, DeliveryState.IN_FLIGHT)
    assert windows.heard == 0


def test_a_word_makes_a_silent_connection_heard_again() -> None:
    windows = Windows()
    window, other = windows.open("c1", ""), windows.open("c2", "")
    delivery = Delivery(1, "e1")
    window.take(delivery, now=0)
    windows.miss(window)
    windows.miss(window)
    assert (windows.heard, window.silent) == (1, True)
    delivery.loss = Loss.CROWD
    windows.hear(window, now=5)
    windows.hear(other, now=5)
    assert (windows.heard, window.silent, window.spoke, delivery.loss) == (2, False, 5, Loss.NONE)
    windows.miss(window)
    windows.close(window)
    assert windows.heard == 1, "a silent one that goes is not counted twice"


def test_losing_several_at_once_is_another_loss_than_losing_one() -> None:
    window = Windows().open("c1", "")
    losses = []
    for index in (1, 2, 3):
        window.take(Delivery(index, f"e{index}"), now=0)
        losses.append(window.loss)
    assert losses == [Loss.SINGLE, Loss.CROWD, Loss.CROWD]
