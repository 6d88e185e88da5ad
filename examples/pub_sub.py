"""Publish and subscribe: three events go out and come back.

Run it against a server with namespace app: python examples/pub_sub.py
"""

from __future__ import annotations

import os

from bus import Client


def main() -> None:
    with (
        Client(os.environ.get("BUS_HOST", "http://localhost:2021")) as client,
        client.get("app.users.*", limit=3) as events,
    ):
        for name in ("Alice", "Bob", "Carol"):
            client.put("app.users.created", {"name": name})
        for event in events:
            print(f"{event.subject} {event.payload['name']}")


if __name__ == "__main__":
    main()
