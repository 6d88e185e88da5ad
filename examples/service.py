"""A service that acknowledges by hand, with a durable consumer.

The server keeps the consumer's position and what it has not acknowledged yet, so that a service that
restarts goes on where it was, and several of them share the work. Each order is done, tried again, or
given up to the dead letters. The service ends when nothing has come for a second.

Run it against a server with namespace orders: python examples/service.py
"""

from __future__ import annotations

import os

from bus import Client, Delivery, TimedOutError

ORDERS = [{"order": 1, "total": 40}, {"order": 2, "total": "?"}, {"order": 3, "total": 60}]


def invoice(event: Delivery) -> None:
    order, total = event.payload["order"], event.payload["total"]
    if not isinstance(total, int):
        event.reject(reason=f"order {order} has no total")
    elif order == 3 and event.attempts == 1:
        event.nack(delay="100ms", reason="the printer is out of paper")
    else:
        print(f"order {order}: invoice over {total}, attempt {event.attempts}")
        event.ack()


def serve(client: Client) -> None:
    events = client.get(
        "orders.created", start="oldest", ack="manual", consumer="invoices", prefetch=10, redelivery="30s", timeout=1
    )
    with events:
        try:
            for event in events:
                invoice(event)
        except TimedOutError:
            print("nothing more to do")


def main() -> None:
    with Client(os.environ.get("BUS_HOST", "http://localhost:2021")) as client:
        receipts = [client.put("orders.created", order) for order in ORDERS]
        serve(client)
        for letter in client.get("orders._dead_.invoices", start=receipts[0].index, follow=False):
            if letter.dead:
                print(f"dead letter: {letter.dead.reason}")


if __name__ == "__main__":
    main()
