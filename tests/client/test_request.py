"""What the client asks, as bytes."""

from __future__ import annotations

import httptools
import pytest

from bus.client.core.credentials import Credentials
from bus.client.core.request import Acknowledgement, Endpoint, Requests, fitting_ids
from bus.errors import InvalidParameterError


class Parsed:
    """A request as another parser reads it."""

    def __init__(self, data: bytes) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.target = ""
        self.complete = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method().decode()

    def on_url(self, url: bytes) -> None:
        self.target = url.decode()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


def requests(url: str = "http://localhost:2021") -> Requests:
    return Requests(Endpoint.parse(url), Credentials())


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("http://localhost:2021", "localhost", 2021, "/", "localhost:2021"),
        ("http://localhost", "localhost", 80, "/", "localhost"),
        ("https://bus.example/", "bus.example", 443, "/", "bus.example"),
        ("http://[::1]:2021", "::1", 2021, "/", "[::1]:2021"),
        ("https://example.com:8443/team/bus/", "example.com", 8443, "/team/bus/", "example.com:8443"),
        ("http://bücher.example:2021", "bücher.example", 2021, "/", "xn--bcher-kva.example:2021"),
    ],
)
def test_an_endpoint_is_read_from_a_url(url: str, host: str, port: int, path: str, authority: str) -> None:
    endpoint = Endpoint.parse(url)
    assert (endpoint.host, endpoint.port, endpoint.path, endpoint.authority) == (host, port, path, authority)


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "localhost:2021", ":2021", "ftp://host", "http://", "http://host:port", "http://h:99999",
     "http://host/?a=b", "http://host/a b", "http://host\r\nX: y"],
)  # fmt: skip
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidParameterError, match="can't be read: write it like http://localhost:2021"):
        Endpoint.parse(url)


def test_a_publish_carries_its_body_and_length() -> None:
    parsed = Parsed(requests().publish(b'{"subject":"app.a"}'))
    assert (parsed.method, parsed.target, parsed.body) == ("POST", "/", b'{"subject":"app.a"}')
    assert parsed.headers["host"] == "localhost:2021"
    assert parsed.headers["content-type"] == "application/json"
    assert parsed.headers["accept"] == "application/problem+json"
    assert parsed.complete


def test_independent_events_go_as_lines() -> None:
    parsed = Parsed(requests().publish_lines([b"1", b"2"]))
    assert parsed.headers["content-type"] == "application/x-ndjson"
    assert parsed.body == b"1\n2"


def test_a_prefix_of_the_url_leads_every_target() -> None:
    there = requests("http://proxy/bus")
    assert Parsed(there.publish(b"{}")).target == "/bus/"
    assert Parsed(there.ask("readyz")).target == "/bus/readyz"
    assert Parsed(there.subscribe([("subject", "app.*")])).target == "/bus/?subject=app.*"


def test_waiting_is_asked_for_in_the_query() -> None:
    reply = Parsed(requests().publish_and_wait(b"{}", wait="reply", timeout=2.5))
    confirm = Parsed(requests().publish_and_wait(b"{}", wait="confirm", timeout=90, count=2))
    assert reply.target == "/?wait=reply&timeout=2.5s"
    assert confirm.target == "/?wait=confirm&timeout=1m30s&count=2"


def test_a_subscription_resumes_by_the_standard_header() -> None:
    parsed = Parsed(requests().subscribe([("subject", "app.>"), ("start", "oldest")], last_event_id="e_1"))
    assert parsed.target == "/?subject=app.>&start=oldest"
    assert parsed.headers["last-event-id"] == "e_1"
    assert "text/event-stream" in parsed.headers["accept"]


def test_what_a_caller_gives_cannot_leave_its_parameter() -> None:
    parsed = Parsed(requests().subscribe([("subject", "app.a&start=oldest\r\nX: y"), ("consumer", "mü/ller #1")]))
    assert parsed.target == "/?subject=app.a%26start%3Doldest%0D%0AX:%20y&consumer=m%C3%BC%2Fller%20%231"
    assert "x" not in parsed.headers


def test_an_acknowledgement_names_all_its_events() -> None:
    said = Acknowledgement("c_1", ["e_1", "e_2"], "nack", delay=0.5, reason="not now")
    parsed = Parsed(requests().acknowledge(said))
    assert parsed.method == "PUT"
    assert parsed.target == "/?consumer_id=c_1&event_id=e_1,e_2&action=nack&delay=500ms&reason=not%20now"
    assert parsed.headers["content-length"] == "0"


def test_a_reply_is_the_body_of_an_acknowledgement() -> None:
    parsed = Parsed(requests().acknowledge(Acknowledgement("c_1", ["e_1"], reply=b"null")))
    assert parsed.target == "/?consumer_id=c_1&event_id=e_1"
    assert parsed.body == b"null"


def test_acknowledgements_are_parted_into_requests_that_servers_take() -> None:
    short = [f"e_{number:022}" for number in range(600)]
    long = ["x" * 128] * 100
    for ids in (short, long, short[:1]):
        parts = list(fitting_ids(ids))
        assert [event_id for part in parts for event_id in part] == ids
        for part in parts:
            request = requests().acknowledge(Acknowledgement("c_" + "0" * 24, part))
            assert len(part) <= 256
            assert len(request.partition(b"\r\n")[0]) < 8000
    assert list(fitting_ids([])) == []
