"""A delivery as it is kept over restarts."""

from __future__ import annotations

import msgspec

from bus.engine.consumer.delivery import UNLOST, Delivery, Loss


class KeptDelivery(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a delivery. ``due`` is the end of its delay, in ns since the epoch.

    Files of version 1 have the first two alone.
    """

    index: int
    attempts: int
    worker: str = ""
    loss: Loss = UNLOST
    alone: bool = False
    due: int = 0

    @classmethod
    def of(cls, delivery: Delivery, *, due: int) -> KeptDelivery:
        """How *delivery* is to be taken up again if everything stops now; *due* is the end of its delay, if any."""
        return cls(
            index=delivery.index,
            attempts=delivery.attempts,
            worker=delivery.worker,
            loss=delivery.loss_now,
            alone=delivery.alone,
            due=due,
        )

    def delivery(self, event_id: str, key: str) -> Delivery:
        """The delivery, of the event of this id and key."""
        delivery = Delivery(self.index, event_id, attempts=self.attempts, key=key)
        delivery.worker, delivery.loss, delivery.alone = self.worker, self.loss, self.alone
        return delivery
