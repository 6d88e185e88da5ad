"""Who may do what, over HTTP: tokens are asked for, and refusals say what is missing and nothing of what exists."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from bus.access.token import new_token
from bus.server.http.head_reader import HeadReader
from bus.server.http.request import Head, Request
from bus.wire import EVENT_ID, NDJSON
from tests.conftest import StartServer
from tests.server.access import TokenFile, ask, opened, publish, settle, stream, told
from tests.server.support import draft, refusal
from tests.support import ServerProcess, raw


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenFile:
    return TokenFile(
        tmp_path_factory.mktemp("auth") / "tokens.toml",
        shop={"publish": ["orders.>", "app.ask"], "subscribe": ["app.replies.>"]},
        service={"subscribe": ["orders.>", "app.ask"], "consumers": ["billing", "billing-*"], "reply": True},
        reader={"subscribe": ["orders.*", "app.ask"], "consumers": ["reader"]},
        keeper={"manage": ["orders.>"]},
        namer={"manage": ["billing"]},
        grafana={"metrics": True},
        root={"admin": True},
        old={"admin": True, "expires": (datetime.now(UTC) - timedelta(seconds=1)).isoformat()},
    )


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, bus_command: Sequence[str], tokens: TokenFile
) -> Iterator[ServerProcess]:
    flags = ["--auth", str(tokens.path)]
    found = ServerProcess(tmp_path_factory.mktemp("access") / "data", flags=flags, bus=bus_command)
    yield found
    found.close()


# -- who asks


def test_a_token_is_needed(server: ServerProcess) -> None:
    answer = publish(server, "", "orders.a")
    assert refusal(answer) == (401, "a token is needed for this: send it as Authorization: Bearer bus_…")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_broken_tokens_are_told_apart_from_unknown_ones(server: ServerProcess, tokens: TokenFile) -> None:
    whole = tokens.tokens["root"]
    for broken in (whole[:-1], whole * 2, whole.upper(), "x", "bus_"):
        assert "not whole" in refusal(publish(server, broken, "orders.a"))[1]
    assert "not known here" in refusal(publish(server, new_token(), "orders.a"))[1]
    assert refusal(publish(server, tokens.tokens["old"], "orders.a")) == (401, "token old has expired: ask for another")


@pytest.mark.parametrize("value", ["Basic dTpw", "Bearer", "bus_x", "Bearer  "])
def test_other_credentials_are_refused(server: ServerProcess, value: str) -> None:
    assert ask(server, "", "GET", "/v1/namespaces", Authorization=value).status == 401


def test_the_scheme_is_written_in_any_case(server: ServerProcess, tokens: TokenFile) -> None:
    for name, scheme in (("authorization", "bearer"), ("AUTHORIZATION", "BEARER")):
        head = f"GET /v1/namespaces HTTP/1.1\r\nHost: bus\r\n{name}:  {scheme}  {tokens.tokens['root']} \r\n\r\n"
        assert b" 200 " in raw(server.port, head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())


def test_two_credentials_are_none(server: ServerProcess, tokens: TokenFile) -> None:
    line = f"Authorization: Bearer {tokens.tokens['root']}\r\n"
    for lines in (line * 2, line + "Authorization: Bearer x\r\n", line + " folded\r\n", line.replace("n:", "n :")):
        assert b" 400 " in raw(server.port, f"GET /v1/namespaces HTTP/1.1\r\nHost: bus\r\n{lines}\r\n".encode())


def test_no_head_that_is_remembered_has_a_secret_in_it() -> None:
    from bus.server.http import head_reader

    first, second = b"Authorization: Bearer secret\r\nHost: bus\r\n", b"Host: bus\r\nauthorization:\tsecret\r\nA: b\r\n"
    for section in (first, second):
        head, credentials = HeadReader().read(b"GET /?%b HTTP/1.1\r\n%b\r\n" % (b"secrets", section))
        assert credentials.value.endswith(b"secret") and b"authorization" not in head.section.headers
        assert "secret'" not in repr((credentials, Request(head, b"", credentials)))
    assert not any(b"secret" in known.partition(b"\r\n")[2] for known in head_reader._known_heads)
    assert isinstance(head, Head)
    for target in (
        b"/?ticket=secret",
        b"/?subject=a.b&ticket=secret",
        b"/?%74icket=secret",
        b"/?a=%41&%54=1&t%69cket=secret",
    ):
        HeadReader().read(b"GET %b HTTP/1.1\r\nHost: one\r\n\r\n" % target)
    assert not any(b"Host: one" in known for known in head_reader._known_heads)
    HeadReader().read(b"GET /?subject=a.%3E HTTP/1.1\r\nHost: one\r\n\r\n")
    assert any(b"Host: one" in known for known in head_reader._known_heads)


def test_probes_need_nobody(server: ServerProcess) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert ask(server, "", "GET", path).status == 200


# -- publishing


def test_each_subject_is_checked(server: ServerProcess, tokens: TokenFile) -> None:
    shop = tokens.tokens["shop"]
    assert publish(server, shop, "orders.a").status == 202
    forbidden = "token shop may not publish to app.b: no publish pattern takes it"
    assert refusal(publish(server, shop, "app.b")) == (403, forbidden)
    assert refusal(publish(server, shop, "nowhere.b")) == (403, forbidden.replace("app.b", "nowhere.b"))
    batch = b"[%b, %b]" % (draft("orders.a"), draft("app.b"))
    assert refusal(ask(server, shop, "POST", "/", batch)) == (403, forbidden)
    assert refusal(publish(server, shop, "orders"))[0] == 400


def test_lines_are_refused_one_by_one(server: ServerProcess, tokens: TokenFile) -> None:
    lines = b"\n".join([draft("orders.a"), draft("app.b"), b"x", draft("orders.c"), draft("nowhere.d")])
    answer = ask(server, tokens.tokens["shop"], "POST", "/", lines, Content_Type=NDJSON)
    found = [msgspec.json.decode(line) for line in answer.body.splitlines()]
    assert [line.get("code", "stored") for line in found] == [
        "stored", "forbidden", "invalid-event", "stored", "forbidden"
    ]  # fmt: skip


# -- subscribing


@pytest.mark.parametrize("subject", ["app.>", "orders.>", "orders.a.b", "nowhere.a", "orders._dead_.billing"])
def test_all_that_a_pattern_takes_has_to_be_granted(server: ServerProcess, tokens: TokenFile, subject: str) -> None:
    status, text = refusal(ask(server, tokens.tokens["reader"], "GET", f"/?subject={subject}"))
    assert (status, text) == (
        403, f"token reader may not subscribe to {subject}: no subscribe pattern takes all of it"
    )  # fmt: skip


def test_one_pattern_of_several_that_is_not_granted_is_enough(server: ServerProcess, tokens: TokenFile) -> None:
    assert ask(server, tokens.tokens["reader"], "GET", "/?subject=orders.a,orders.b.c").status == 403


def test_a_consumer_has_to_be_granted_by_name(server: ServerProcess, tokens: TokenFile) -> None:
    for name, consumer, status in (("reader", "billing", 403), ("service", "billing-2", 200)):
        wanted = f"/?subject=orders.*&ack=manual&consumer={consumer}&follow=false"
        assert ask(server, tokens.tokens[name], "GET", wanted).status == status


# -- settling


def test_the_ids_of_others_are_no_capability(server: ServerProcess, tokens: TokenFile) -> None:
    event_id = publish(server, tokens.tokens["shop"], "orders.paid").headers[EVENT_ID.lower()]
    with stream(server, tokens.tokens["service"], "orders.paid", start="oldest", ack="manual") as found:
        found.take(1)
        consumer_id = opened(found)
        for name in ("shop", "reader"):
            assert refusal(settle(server, tokens.tokens[name], consumer_id, event_id)) == (
                404, f"consumer {consumer_id} doesn't exist: its stream has ended, or never began"
            )  # fmt: skip
        assert settle(server, tokens.tokens["service"], consumer_id, event_id).status == 202


def test_a_plain_stream_settles_only_what_it_reads(server: ServerProcess, tokens: TokenFile) -> None:
    event_id = publish(server, tokens.tokens["shop"], "orders.secret.a").headers[EVENT_ID.lower()]
    with stream(server, tokens.tokens["reader"], "orders.*") as found:
        assert settle(server, tokens.tokens["reader"], opened(found), event_id).status == 404


def test_replying_takes_a_right(server: ServerProcess, tokens: TokenFile) -> None:
    inbox = "_bus_.of-the-shop"
    publish(server, tokens.tokens["shop"], "app.ask", response_subject=inbox)
    for name, expected in (("reader", 403), ("service", 202)):
        with stream(server, tokens.tokens[name], "app.ask", start="oldest") as found:
            (event,) = found.take(1)
            assert settle(server, tokens.tokens[name], opened(found), event.id, b'"yes"').status == expected
            assert publish(server, tokens.tokens[name], inbox).status == expected
    assert ask(server, tokens.tokens["reader"], "GET", f"/?subject={inbox}&start=oldest&follow=false").status == 403
    for name, status in (("service", 403), ("shop", 200)):
        answer = ask(server, tokens.tokens[name], "GET", f"/?subject={inbox}&start=oldest&follow=false")
        assert answer.status == status
    assert b"yes" in answer.body


def test_an_inbox_cannot_be_made_anothers(server: ServerProcess, tokens: TokenFile) -> None:
    inbox = "_bus_.of-root"
    assert publish(server, tokens.tokens["root"], "app.ask", response_subject=inbox).status == 202
    assert publish(server, tokens.tokens["shop"], "app.ask", response_subject=inbox).status == 403


# -- looking and managing


def test_one_sees_what_one_may_use_or_manage(server: ServerProcess, tokens: TokenFile) -> None:
    ask(server, tokens.tokens["service"], "GET", "/?subject=orders.*&ack=manual&consumer=billing&follow=false")
    seen = {name: ask(server, token, "GET", "/v1/consumers/billing").status for name, token in tokens.tokens.items()}
    assert seen == {
        "shop": 403, "service": 200, "reader": 403, "keeper": 200, "namer": 200, "grafana": 403, "root": 200, "old": 401
    }  # fmt: skip
    listed = ask(server, tokens.tokens["reader"], "GET", "/v1/consumers").body
    assert b"billing" not in listed
    namespaces = ask(server, tokens.tokens["keeper"], "GET", "/v1/namespaces").body
    assert b'"orders"' in namespaces and b'"app"' not in namespaces


def test_a_consumer_that_may_not_be_managed_is_as_good_as_none(server: ServerProcess, tokens: TokenFile) -> None:
    ask(server, tokens.tokens["service"], "GET", "/?subject=orders.*&ack=manual&consumer=billing&follow=false")
    for name in ("reader", "shop", "service", "grafana"):
        there, gone = (
            refusal(ask(server, tokens.tokens[name], "DELETE", f"/v1/consumers/{consumer}"))
            for consumer in ("billing", "nobody")
        )
        assert there == (403, gone[1].replace("nobody", "billing"))
    assert ask(server, tokens.tokens["keeper"], "DELETE", "/v1/consumers/nobody").status == 403
    assert ask(server, tokens.tokens["keeper"], "DELETE", "/v1/consumers/billing").status == 204
    assert ask(server, tokens.tokens["namer"], "DELETE", "/v1/consumers/billing").status == 404


def test_metrics_are_for_those_who_may_measure(server: ServerProcess, tokens: TokenFile) -> None:
    statuses = {name: ask(server, token, "GET", "/metrics").status for name, token in tokens.tokens.items()}
    assert [name for name, status in statuses.items() if status == 200] == ["grafana", "root"]


# -- the audit log


def test_what_is_managed_or_refused_is_written_down(server: ServerProcess, tokens: TokenFile) -> None:
    publish(server, tokens.tokens["reader"], "app.audited")
    ask(server, tokens.tokens["root"], "DELETE", "/v1/consumers/audited")
    refused = msgspec.json.decode(server.wait_for_log("POST /"))
    assert refused["who"] and refused["from"] == "127.0.0.1" and refused["allowed"] is False
    managed = msgspec.json.decode(server.wait_for_log("DELETE /v1/consumers/audited"))
    assert (managed["who"], managed["allowed"]) == ("root", True)
    assert not any(token in server.log for token in tokens.tokens.values())


def test_a_page_that_is_refused_is_written_down(start_server: StartServer) -> None:
    server = start_server(flags=["--cors-origins", "https://app.example"])
    assert ask(server, "", "DELETE", "/v1/consumers/mine", Origin="https://evil.example").status == 403
    refused = msgspec.json.decode(server.wait_for_log("DELETE /v1/consumers/mine"))
    assert (refused["who"], refused["allowed"]) == ("everybody", False)
    assert "origin 'https://evil.example' may not change anything here" in refused["why"]


def test_logs_say_whose_a_request_is_and_for_whom_a_proxy_asks(start_server: StartServer, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.toml", billing={"publish": ["app.bills"]})
    flags = ["--auth", str(file.path), "--trusted-proxies", "127.0.0.1", "--access-log"]
    server = start_server(flags=flags)
    body, header = b'{"subject":"app.bills"}', {"X-Forwarded-For": "192.0.2.7"}
    assert ask(server, file.tokens["billing"], "POST", "/", body, **header).status == 202
    assert "192.0.2.7 billing POST / 202" in server.wait_for_log("bus.access")
    assert ask(server, "", "POST", "/", body, **header).status == 401
    refused = msgspec.json.decode(server.wait_for_log('"allowed":false'))
    assert refused["from"] == "192.0.2.7"


# -- changes


@pytest.mark.parametrize("accept", ["text/event-stream", NDJSON])
def test_a_stream_whose_token_is_revoked_ends_with_a_reason(
    start_server: StartServer, tmp_path: Path, accept: str
) -> None:
    file = TokenFile(tmp_path / "tokens.toml", a={"subscribe": ["app.>"]}, b={"subscribe": ["app.>"]})
    server = start_server(flags=["--auth", str(file.path)])
    with (
        stream(server, file.tokens["a"], "app.>", accept=accept) as found,
        stream(server, file.tokens["b"], "app.>", ack="manual") as other,
    ):
        other.take(1, "open")
        file.revoke("a")
        rest = _all(found.connection)
        assert b"token a is not known any more: it was revoked" in rest
        assert (b'"code":"unauthorized"' if accept == NDJSON else b"\ncode: unauthorized\n") in b"\n" + rest
        file.rights["b"] = {"subscribe": ["app.*"]}
        file.write()
        server.wait_for_log("1 tokens")
        assert "no subscribe pattern takes all of it" in told(other).data.decode()


def _all(connection: object) -> bytes:
    data = b""
    try:
        while piece := connection.recv(65536):  # type: ignore[attr-defined]
            data += piece
    except ConnectionResetError:
        pass
    return data


def test_a_stream_ends_when_its_token_expires(start_server: StartServer, tmp_path: Path) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=3)).replace(microsecond=0).isoformat()
    file = TokenFile(tmp_path / "tokens.toml", a={"subscribe": ["app.>"], "expires": soon})
    server = start_server(flags=["--auth", str(file.path)])
    with stream(server, file.tokens["a"], "app.>") as found:
        assert told(found).data == b"token a has expired: ask for another"


def test_a_bad_file_leaves_the_old_rights_in_force(start_server: StartServer, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.toml", a={"publish": ["app.>"]})
    server = start_server(flags=["--auth", str(file.path)])
    file.write_text("[tokens.a]\nhsh = 1")
    server.wait_for_log("key 'hsh' is not known: did you mean hash?; the rights from before stay in force")
    assert publish(server, file.tokens["a"], "app.a").status == 202
    file.path.unlink()
    server.wait_for_log("no such file or directory; the rights from before stay in force")
    assert publish(server, file.tokens["a"], "app.a").status == 202
    file.rights["a"] = {"publish": ["app.b"]}
    file.write()
    server.wait_for_log("1 tokens")
    assert publish(server, file.tokens["a"], "app.a").status == 403


def test_sighup_reads_what_does_not_look_changed(start_server: StartServer, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.toml", a={"subscribe": ["app.>"]})
    server = start_server(flags=["--auth", str(file.path)])
    with stream(server, file.tokens["a"], "app.>") as found:
        server.signal(signal.SIGHUP)
        server.wait_for_log("is in force: 1 tokens")
        assert publish(server, file.tokens["a"], "app.a").status == 403
        file.path.chmod(0o666)
        server.signal(signal.SIGHUP)
        server.wait_for_log("may be written by others, who could grant themselves anything: chmod 600; the rights from")
        file.path.chmod(0o600)
        file.rights["a"] = {"publish": ["app.>"]}
        file.write()
        server.signal(signal.SIGHUP)
        assert "no subscribe pattern takes all of it" in told(found).data.decode()
    assert publish(server, file.tokens["a"], "app.a").status == 202


def test_anonymous_rights(start_server: StartServer, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "tokens.toml", anonymous={"subscribe": ["app.public.>"]})
    server = start_server(flags=["--auth", str(file.path)])
    assert ask(server, "", "GET", "/?subject=app.public.>&follow=false").status == 200
    assert ask(server, "", "GET", "/?subject=app.a").headers["www-authenticate"] == "Bearer"
    assert ask(server, new_token(), "GET", "/?subject=app.public.>&follow=false").status == 401


def test_a_server_that_trusts_everybody_says_so_if_others_reach_it(start_server: StartServer) -> None:
    server = start_server(flags=["--addr", "0.0.0.0:0"])
    assert " WARNING " in server.wait_for_log("may do everything: --auth FILE says who may do what")


def test_a_server_does_not_start_without_its_file(start_server: StartServer, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="can't be read: no such file"):
        start_server(flags=["--auth", str(tmp_path / "none")])
