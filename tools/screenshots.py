"""Makes the pictures of docs/dashboard.md anew: a server with something going on, seen in Chromium.

python tools/screenshots.py
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from playwright.sync_api import Browser, Page, ViewportSize

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bus import Client, Delivery, RejectError  # noqa: E402
from tests.browser import chromium  # noqa: E402
from tests.support import ServerProcess  # noqa: E402

PICTURES = ROOT / "docs" / "images"
SIZE: ViewportSize = {"width": 1200, "height": 750}
WATCHED_SECONDS = 75
"""For how long the server is looked at before the pictures are taken: the charts show a minute."""

REASONS = ("payment gateway answered 500", "customer is unknown")


def main() -> None:
    """Start a server, have something go on, and take the pictures."""
    with tempfile.TemporaryDirectory() as directory:
        server = ServerProcess(Path(directory) / "data")
        try:
            with _traffic(server), chromium() as browser:
                _take_all(browser, server)
        finally:
            server.close()


@contextmanager
def _traffic(server: ServerProcess) -> Iterator[None]:
    """Orders that come in, a consumer that bills them and fails at times, and one that nobody is connected to."""
    stop = threading.Event()
    with Client(server.url) as client:
        client.consumers.edit("mailer", subject="app.users.>", start="oldest")
        worker = client.worker("orders.>", _bill, consumer="billing", signals=False)
        threads = [threading.Thread(target=_publish, args=(client, stop)), threading.Thread(target=worker.run)]
        for thread in threads:
            thread.start()
        yield
        stop.set()
        worker.stop()
        for thread in threads:
            thread.join()


def _bill(event: Delivery) -> None:
    """Take an order, but for one of a hundred."""
    if event.index % 97 == 0:
        raise RejectError(REASONS[event.index % len(REASONS)])


def _publish(client: Client, stop: threading.Event) -> None:
    random = Random(1)
    number = 0
    while not stop.wait(0.05):
        for _ in range(random.randrange(1, 9)):
            number += 1
            client.put(f"orders.{random.choice(['created', 'paid', 'shipped'])}", _order(random, number),
                       key=f"order-{number}", trace_id=f"checkout-{number // 3}", headers={"schema": "2"})  # fmt: skip
        if number % 7 == 0:
            client.put("app.users.created", {"name": random.choice(["Ada", "Grace", "Edsger"])})


def _order(random: Random, number: int) -> dict[str, object]:
    return {
        "order": number,
        "customer": {"name": random.choice(["Ada", "Grace", "Edsger"]), "vip": number % 5 == 0},
        "total": round(random.random() * 500, 2),
        "lines": [{"sku": f"A-{random.randrange(100)}", "pieces": random.randrange(1, 4)}],
    }


def _take_all(browser: Browser, server: ServerProcess) -> None:
    page = browser.new_page(viewport=SIZE, device_scale_factor=1.5)
    page.goto(f"{server.url}/ui/")
    page.wait_for_timeout(WATCHED_SECONDS * 1000)
    _take(page, "overview", "#/")
    _take(page, "namespace", "#/overview/orders")
    _take(page, "events", "#/events?subject=orders.>&start=-100", ".row:nth-child(3)", "[data-key=space]")
    _take(page, "consumer", "#/consumers/billing")
    _take(page, "dead", "#/dead", "td.name button")


def _take(page: Page, name: str, place: str, *clicks: str) -> None:
    """The picture *name* of what is at *place* once everything in *clicks* was clicked."""
    page.evaluate("place => { location.hash = place }", place)
    page.locator("main h1").wait_for()
    for selector in clicks:
        page.locator(selector).first.click()
    page.wait_for_timeout(1500)
    page.screenshot(path=PICTURES / f"dashboard-{name}.png")
    print(json.dumps({"picture": name}))


if __name__ == "__main__":
    main()
