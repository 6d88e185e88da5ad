"""Request and reply: a service that divides, and two who ask it.

What the function returns is the reply; what it raises reaches the requester as a `ServiceError`. Requests
are events like any other, so any number of services with one consumer name share them.

Run it against a server with namespace app: python examples/request_reply.py
"""

from __future__ import annotations

import os
from threading import Thread

from bus import Client, Delivery, ServiceError


def divide(event: Delivery) -> dict[str, float]:
    return {"result": event.payload["a"] / event.payload["b"]}


def ask(client: Client, a: float, b: float) -> None:
    try:
        answer = client.request("app.math.divide", {"a": a, "b": b}, timeout=5)
        print(f"{a} / {b} = {answer['result']}")
    except ServiceError as error:
        print(f"{a} / {b}: {error}")


def main() -> None:
    with Client(os.environ.get("BUS_HOST", "http://localhost:2021")) as client:
        service = client.worker("app.math.divide", divide, consumer="divider")
        thread = Thread(target=service.run)
        thread.start()
        try:
            ask(client, 10, 4)
            ask(client, 1, 0)
        finally:
            service.stop()
            thread.join()


if __name__ == "__main__":
    main()
