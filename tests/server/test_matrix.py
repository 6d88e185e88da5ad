"""Every way into the server by every right: what isn't granted is denied, what is granted is allowed.

The ways are those of the table of routes, so one that nobody has thought of here fails.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest

from bus.server.api.route import Need, Route
from bus.wire import NDJSON, SSE
from tests.server.access import Rights, TokenFile, ask, opened, stream
from tests.server.support import draft
from tests.support import Answer, ServerProcess

EVERYWHERE = {"subscribe": ["orders.>"], "consumers": ["x*"], "manage": ["x", "orders.>"], "publish": ["orders.>"]}
"""All rights that are about something, about something else."""

TOKENS: dict[str, Rights] = {
    "publisher": {"publish": ["app.>"]},
    "subscriber": {"subscribe": ["app.>"]},
    "consumer": {"subscribe": ["app.>"], "consumers": ["c", "d"]},
    "manager": {"manage": ["c", "d"]},
    "keeper": {"manage": ["app.>"]},
    "scheduler": {"publish": ["app.daily"], "manage": ["app.daily"]},
    "replier": {"reply": True},
    "meter": {"metrics": True},
    "elsewhere": EVERYWHERE,
    "nothing": {},
    "root": {"admin": True},
}
NOBODY = ""
"""Who brings no token."""

READERS = ("subscriber", "consumer")
LOOKERS = ("consumer", "manager", "keeper")
MANAGERS = ("manager", "keeper")

SCHEDULERS = ("keeper", "scheduler")
WATCHERS = (*READERS, *MANAGERS, "publisher", "scheduler", "meter", "elsewhere")

CONSUMER = "/v1/consumers/{name}"
NAMESPACE = "/v1/namespaces/{name}"
SCHEDULE = "/v1/schedules/{id}"
DAILY = draft("app.daily", cron="0 9 * * *")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in: a request to a route, whom it is granted, and how that shows. ``root`` may go every way.

    ``{c}`` in a query is the id of an open subscription, ``{e}`` that of what it was delivered, ``{who}`` who asks.
    """

    method: str
    path: str = "/"
    query: str = ""
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    granted: Sequence[str]
    shows: Callable[[Answer], bool] = lambda answer: answer.status not in (401, 403, 404)


def _is_stored(answer: Answer) -> bool:
    return answer.status == 202 and b'"error"' not in answer.body


def _names(text: bytes) -> Callable[[Answer], bool]:
    return lambda answer: answer.status == 200 and text in answer.body


EVENT = draft("app.a")
LINES = {"Content_Type": NDJSON}
ANYBODY = (NOBODY, *TOKENS)
EVERY_TOKEN = tuple(TOKENS)

WAYS = {
    "event": Way(method="POST", body=EVENT, granted=["publisher"]),
    "array": Way(method="POST", body=b"[%b,%b]" % (EVENT, EVENT), granted=["publisher"]),
    "array with another's": Way(method="POST", body=b"[%b,%b]" % (EVENT, draft("app._")), granted=["publisher"]),
    "lines": Way(method="POST", body=EVENT, headers=LINES, granted=["publisher"], shows=_is_stored),
    "compressed": Way(
        method="POST", body=gzip.compress(EVENT), headers={"Content_Encoding": "gzip"}, granted=["publisher"]
    ),
    "wait for confirmation": Way(method="POST", query="wait=confirm&timeout=1ms", body=EVENT, granted=["publisher"]),
    "wait for the reply": Way(method="POST", query="wait=reply&timeout=1ms", body=EVENT, granted=["publisher"]),
    "reply to an inbox": Way(method="POST", body=draft("_bus_.any"), granted=["replier"]),
    "stream": Way(method="GET", query="subject=app.>&follow=false", headers={"Accept": SSE}, granted=READERS),
    "stream of lines": Way(
        method="GET", query="subject=app.*&follow=false", headers={"Accept": NDJSON}, granted=READERS
    ),
    "from an index": Way(method="GET", query="subject=app.a&start=1&follow=false", granted=READERS),
    "resumed": Way(method="GET", query="subject=app.a&last_event_id=x&follow=false", granted=READERS),
    "anonymous consumer": Way(method="GET", query="subject=app.*&ack=manual&follow=false", granted=READERS),
    "durable consumer": Way(
        method="GET",
        query="subject=app.*&ack=manual&consumer=c&follow=false&limit=1&start=newest",
        granted=["consumer"],
    ),
    "dead letters": Way(method="GET", query="subject=app._dead_.c&follow=false", granted=[]),
    "inbox": Way(
        method="GET", query="subject=_bus_.{who}&follow=false", granted=["publisher", "scheduler", "elsewhere"]
    ),
    "settle": Way(method="PUT", query="consumer_id={c}&event_id={e}&action=extend", granted=["consumer"]),
    "probe": Way(method="HEAD", granted=ANYBODY),
    "health": Way(method="GET", path="/healthz", granted=ANYBODY),
    "readiness": Way(method="GET", path="/readyz", granted=ANYBODY),
    "description": Way(method="GET", path="/openapi.json", granted=ANYBODY),
    "way to the dashboard": Way(method="GET", path="/ui", granted=ANYBODY),
    "dashboard": Way(method="GET", path="/ui/", granted=ANYBODY),
    "dashboard's file": Way(method="GET", path="/ui/{file}", granted=ANYBODY),
    "dashboard's file in a folder": Way(method="GET", path="/ui/{folder}/{file}", granted=ANYBODY),
    "metrics": Way(method="GET", path="/metrics", granted=["meter"]),
    "server": Way(method="GET", path="/v1/server", granted=WATCHERS),
    "watch": Way(method="GET", path="/v1/watch", query="follow=false", granted=WATCHERS),
    "namespaces": Way(
        method="GET", path="/v1/namespaces", granted=["publisher", *SCHEDULERS, *READERS], shows=_names(b'"app"')
    ),
    "namespace": Way(
        method="GET", path=NAMESPACE, granted=["publisher", *SCHEDULERS, *READERS], shows=_names(b'"app"')
    ),
    "change a namespace": Way(method="PUT", path=NAMESPACE, body=b"{}", granted=["keeper"]),
    "delete a namespace": Way(method="DELETE", path=NAMESPACE, granted=["keeper"]),
    "consumers": Way(method="GET", path="/v1/consumers", granted=LOOKERS, shows=_names(b'"name":"c"')),
    "consumer": Way(method="GET", path=CONSUMER, granted=LOOKERS),
    "change": Way(method="PUT", path=CONSUMER, body=b'{"redelivery_count": 3}', granted=MANAGERS),
    "change what it reads": Way(method="PUT", path=CONSUMER, body=b'{"patterns": ["app.*"]}', granted=MANAGERS),
    "move": Way(method="POST", path=f"{CONSUMER}/position", body=b'{"to": "newest"}', granted=MANAGERS),
    "say what a move would be": Way(
        method="POST", path=f"{CONSUMER}/position", query="dry_run=true", body=b'{"to": "newest"}', granted=MANAGERS
    ),
    "pending": Way(method="GET", path=f"{CONSUMER}/pending", granted=LOOKERS),
    "connections": Way(method="GET", path=f"{CONSUMER}/connections", granted=LOOKERS),
    "why": Way(method="GET", path=f"{CONSUMER}/why", granted=LOOKERS),
    "dead": Way(method="GET", path=f"{CONSUMER}/dead", granted=LOOKERS),
    "redrive": Way(method="POST", path=f"{CONSUMER}/dead", granted=MANAGERS),
    "drop": Way(method="DELETE", path=f"{CONSUMER}/dead", granted=MANAGERS),
    "delete": Way(method="DELETE", path=CONSUMER, granted=MANAGERS),
    "sign in": Way(method="POST", path="/v1/session", granted=EVERY_TOKEN),
    "sign out": Way(method="DELETE", path="/v1/session", granted=[*EVERY_TOKEN, NOBODY]),
    "ticket": Way(method="POST", path="/v1/tickets", granted=EVERY_TOKEN),
    "page of events": Way(method="GET", path="/v1/events", query="subject=app.*", granted=READERS),
    "stored event": Way(method="GET", path="/v1/events/{id}", granted=READERS),
    "subjects": Way(method="GET", path="/v1/subjects", query="match=app.>", granted=READERS),
    "purge": Way(method="DELETE", path="/v1/events", query="subject=app.purged", granted=["keeper"]),
    "purge one": Way(method="DELETE", path="/v1/events/{id}", granted=["keeper"]),
    "event if it is the first": Way(
        method="POST",
        query="expect_subject=0",
        body=EVENT,
        granted=["publisher"],
        shows=lambda answer: answer.status in (202, 412),
    ),
    "event for later": Way(method="POST", query="delay=1h", body=EVENT, granted=["publisher"]),
    "schedules": Way(method="GET", path="/v1/schedules", granted=SCHEDULERS, shows=_names(b'"id":"daily"')),
    "schedule": Way(method="GET", path=SCHEDULE, granted=SCHEDULERS),
    "recurring event": Way(method="PUT", path=SCHEDULE, body=DAILY, granted=["scheduler"]),
    "cancel": Way(method="DELETE", path=SCHEDULE, granted=SCHEDULERS),
}


@dataclass(frozen=True, slots=True)
class Ground:
    """A server, its tokens, and a subscription of ``consumer``'s with one delivery."""

    server: ServerProcess
    tokens: dict[str, str]
    consumer_id: str
    event_id: str

    def go(self, way: Way, who: str) -> Answer:
        """Ask for *way* as *who*."""
        return ask(self.server, self.tokens[who], way.method, self.target(way, who), way.body, **way.headers)

    def target(self, way: Way, who: str) -> str:
        """Path and query of *way* as *who*."""
        query = way.query.format(c=self.consumer_id, e=self.event_id, who=who)
        return self.place(way) + (f"?{query}" if query else "")

    def place(self, way: Way) -> str:
        """The path of *way*, about something that is there."""
        name = "app" if way.path == NAMESPACE else "d" if (way.method, way.path) == ("DELETE", CONSUMER) else "c"
        event = self.event_id if way.method == "GET" else "purged"
        file = "app.js" if way.path == "/ui/{file}" else "events.js"
        return way.path.format(
            name=name, file=file, folder="views", id=event if way.path.startswith("/v1/events") else "daily"
        )

    def make_consumer(self, name: str) -> None:
        """Have a durable consumer of this name, which reads within ``app.>``."""
        wanted = f"/?subject=app.*&ack=manual&consumer={name}&follow=false&start=newest"
        assert ask(self.server, self.tokens["root"], "GET", wanted).status == 200

    def make_schedule(self) -> None:
        """Have an event recur on ``app.daily``."""
        assert ask(self.server, self.tokens["root"], "PUT", SCHEDULE.format(id="daily"), DAILY).status == 200


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str]) -> Iterator[Ground]:
    file = TokenFile(tmp_path_factory.mktemp("auth") / "tokens.toml", None, **TOKENS)
    path = tmp_path_factory.mktemp("matrix") / "data"
    server = ServerProcess(path, flags=["--auth", str(file.path)], bus=bus_command)
    tokens = {NOBODY: "", **file.tokens}
    ask(server, tokens["root"], "POST", "/", draft("app.held"))
    with stream(server, tokens["consumer"], "app.held", start="oldest", ack="manual", redelivery="1h") as held:
        (event,) = held.take(1)
        found = Ground(server, tokens, opened(held), event.id)
        found.make_consumer("c")
        found.make_schedule()
        yield found
    server.close()


@pytest.mark.parametrize("name", WAYS)
def test_what_is_not_granted_is_denied_and_what_is_granted_is_allowed(ground: Ground, name: str) -> None:
    way = WAYS[name]
    allowed = set()
    for who in ground.tokens:
        if name == "delete":
            ground.make_consumer("d")
        if name == "cancel":
            ground.make_schedule()
        if name == "purge one":
            ask(ground.server, ground.tokens["root"], "POST", "/", draft("app.purged", id="purged"))
        if way.shows(ground.go(way, who)):
            allowed.add(who)
    assert allowed == {"root", *way.granted}


def test_what_a_consumer_is_to_read_has_to_be_within_its_managers_rights(ground: Ground) -> None:
    def put(who: str, name: str, pattern: str) -> int:
        body = b'{"patterns": ["%b"]}' % pattern.encode()
        return ask(ground.server, ground.tokens[who], "PUT", f"/v1/consumers/{name}", body).status

    assert put("elsewhere", "made", "app.a") == 403, "it isn't within, and there is none of this name"
    assert put("elsewhere", "made", "orders.a") == 201
    assert put("elsewhere", "made", "orders.b") == 200
    assert put("elsewhere", "made", "app.a") == 403, "what it is to read isn't within"
    assert put("keeper", "made", "app.a") == 403, "what it reads isn't within"
    assert put("elsewhere", "c", "orders.a") == 403
    assert put("elsewhere", "x", "app.a") == 201, "by its name"


def test_looking_at_the_head_takes_what_looking_takes(ground: Ground) -> None:
    for way in WAYS.values():
        if way.method == "GET" and way.path not in ("/", "/v1/namespaces", "/v1/consumers", "/v1/schedules"):
            for who in ground.tokens:
                head = ask(ground.server, ground.tokens[who], "HEAD", ground.target(way, who))
                assert head.status == ground.go(way, who).status, (way, who)


def test_no_way_is_forgotten(routes: dict[tuple[str, str], Route]) -> None:
    known = {(way.method, way.path) for way in WAYS.values()}
    ways = {place for place in routes if place[0] != "OPTIONS" and (place[0] != "HEAD" or place == ("HEAD", "/"))}
    assert ways == known
    for place in known:
        granted = [way.granted for way in WAYS.values() if (way.method, way.path) == place]
        assert (routes[place].needs in (Need.NOTHING, Need.SIGN_OUT)) == any(NOBODY in who for who in granted)


def test_who_brings_no_token_is_asked_for_one(ground: Ground) -> None:
    for way in WAYS.values():
        if NOBODY not in way.granted:
            answer = ground.go(way, NOBODY)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer"), way
