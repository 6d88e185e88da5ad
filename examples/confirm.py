"""Confirm: a publisher that goes on only once two consumers have taken its event.

Run it against a server with namespace app: python examples/confirm.py
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from bus import Client, Stream, TimedOutError


def take_one(events: Stream) -> str:
    with events:
        event = next(events)
        event.ack()
        return f"{event.consumer_id} took: {event.payload}"


def main() -> None:
    with Client(os.environ.get("BUS_HOST", "http://localhost:2021")) as client, ThreadPoolExecutor() as pool:
        try:
            client.put("app.critical.switch", "main power off", confirm=2, timeout=0.2)
        except TimedOutError as error:
            print(error)

        consumers = [pool.submit(take_one, client.get("app.critical.*")) for _ in range(2)]
        client.put("app.critical.switch", "main power on", confirm=2, timeout=5)
        print("two consumers have confirmed")
        for consumer in consumers:
            print(consumer.result())


if __name__ == "__main__":
    main()
