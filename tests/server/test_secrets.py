"""A token is nowhere it doesn't belong: in answers, logs, tracebacks, lists of processes, or what is remembered."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest

from bus.config import Settings
from bus.engine.open import open_engine
from bus.server.api.about import ServerFacts
from bus.server.api.dispatcher import Dispatcher
from bus.server.http.connection import Connection
from bus.wire import NDJSON
from tests.conftest import StartServer
from tests.server.access import Rights, TokenFile, ask, opened, settle, stream
from tests.server.support import draft, with_mistakes
from tests.support import BUS, Answer, ServerProcess, clean_environment, raw, run_bus

RIGHTS: Rights = {"publish": ["app.>"], "subscribe": ["app.>"], "consumers": ["*"], "reply": True}
API = "bus.server.api."
MISTAKES = (
    "permits:Permits.check_events@3",
    "permits:Permits.judge_lines@2",
    "permits:Permits.check_subscribe@4",
    "permits:Permits.check_acknowledge@2",
    "consumers:ConsumerRoutes.show@1",
)


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "tokens.toml", some=RIGHTS, narrow={"publish": ["orders.>"]}, gone=RIGHTS)


def _session(server: ServerProcess, file: TokenFile) -> Iterator[Answer | bytes]:
    """What a server answers to those who do all they may, and some of what they may not."""
    some, narrow, gone = (file.tokens[name] for name in ("some", "narrow", "gone"))
    file.revoke("gone")
    server.wait_for_log("2 tokens")
    for token in (some, narrow, gone, some[:-1], some * 2, some.swapcase(), f"x{some}", f"{some},{narrow}"):
        yield ask(server, token, "POST", "/", draft("app.a"))
        yield ask(server, token, "POST", "/", b"[%b,{]" % draft("app.a"))
        yield ask(server, token, "POST", "/", draft("app.b") + b"\nx", Content_Type=NDJSON)
        yield ask(server, token, "GET", "/?subject=app.a&start=oldest&follow=false", Accept="application/json")
        yield ask(server, token, "GET", f"/?ticket={token}&token={token}")
        yield ask(server, token, "GET", "/v1/consumers/none", Accept="application/json")
        yield ask(server, "", "GET", "/v1/consumers", Authorization=f"Basic {token}")
        yield ask(server, "", "GET", "/v1/consumers", Cookie=f"session={token}", Origin="https://evil.example")
        yield raw(server.port, f"GET / HTTP/1.1\r\nHost: bus\r\nAuthorization : Bearer {token}\r\n\r\n".encode())
        yield raw(server.port, f"GET / HTTP/1.1\r\nHost: bus\r\nAuthorization: Bearer\r\n {token}\r\n\r\n".encode())
    with stream(server, some, "app.a", start="oldest", ack="manual") as found:
        found.take(1)
        for event_id in ("e_1", "e_2"):
            yield settle(server, some, opened(found), event_id, b'"yes"')
    for path in ("/?subject=app.a", "/v1/consumers/none"):
        yield ask(server, some, "GET", path)
    yield ask(server, some, "POST", "/", draft("app.a"))


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_token_is_in_an_answer_a_log_or_a_list_of_processes(
    start_server: StartServer, file: TokenFile, form: str
) -> None:
    wrapper = with_mistakes(*[API + place for place in MISTAKES])
    flags = ["--auth", str(file.path), "--access-log", "--log-level", "DEBUG", "--log-format", form]
    server = start_server(flags=[*flags, "--cors-origins", "https://app.example"], wrapper=wrapper)
    answers = b"".join(
        answer if isinstance(answer, bytes) else answer.body + repr(answer.headers).encode()
        for answer in _session(server, file)
    )
    shown = answers + Path(f"/proc/{server.pid}/cmdline").read_bytes()
    server.stop()
    assert server.log.count("RuntimeError: on purpose") >= len(MISTAKES)
    shown += server.log.encode()
    assert b"app.a" in answers and b'"who":"narrow"' in shown
    for token in file.tokens.values():
        assert token[4:].encode() not in shown


def test_no_token_is_in_the_list_of_processes_when_the_command_runs(server: ServerProcess, tmp_path: Path) -> None:
    token = TokenFile(tmp_path / "tokens.toml", some=RIGHTS).tokens["some"]
    kept = tmp_path / "token"
    kept.write_text(token)
    command = [*BUS, "get", "--subject", "app.a", "--host", server.url, "--start", "oldest"]
    assert run_bus("put", "--subject", "app.a", "--data", "1", "--host", server.url).returncode == 0
    for flags, variables in ((["--token-file", str(kept)], {}), ([], {"BUS_TOKEN": token})):
        with subprocess.Popen(
            [*command, *flags], stdout=subprocess.PIPE, env=clean_environment(**variables)
        ) as running:
            assert running.stdout is not None and running.stdout.readline()
            assert token.encode() not in Path(f"/proc/{running.pid}/cmdline").read_bytes()
            running.terminate()


# -- what is remembered

_ELSEWHERE = (ModuleType, FrameType, FunctionType, BuiltinFunctionType, type, asyncio.AbstractEventLoop)


def _texts(*roots: object) -> Iterator[bytes]:
    """All text that *roots* hold, whatever holds it for them."""
    seen, waiting = set[int](), list(roots)
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, _ELSEWHERE):
            continue
        seen.add(id(found))
        if isinstance(found, str | bytes):
            yield found.encode("utf-8", "replace") if isinstance(found, str) else found
        waiting += gc.get_referents(found)


async def _converse(dispatcher: Dispatcher, token: str) -> bytes:
    """Ask *dispatcher* for some things over two connections, and hang up."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Connection(dispatcher, loop), "127.0.0.1", 0)
    answered = b""
    for shown in (token, token[:-1]):
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname()[:2])
        for line in ("GET /?subject=app.a&follow=x", "GET /v1/namespaces", "GET /v1/namespaces", "PUT /?event_id=e_1"):
            for header in ("Authorization", "authorization"):
                head = f"{line} HTTP/1.1\r\nHost: bus\r\n{header}: Bearer {shown}\r\nAccept: */*\r\n\r\n"
                writer.write(head.encode())
                answered += await reader.readuntil(b"\r\n\r\n")
                length = int(answered.rpartition(b"Content-Length: ")[2].split()[0])
                answered += await reader.readexactly(length)
        writer.close()
        await writer.wait_closed()
    listening.close()
    await dispatcher.drain()
    return answered


def test_no_token_is_in_what_is_remembered(file: TokenFile, tmp_path: Path) -> None:
    settings = Settings.read({"namespaces": "app", "path": str(tmp_path / "data"), "auth": str(file.path)}, {})
    held: list[Any] = []

    async def session() -> bytes:
        loop = asyncio.get_running_loop()
        async with open_engine(settings.engine, loop) as engine:
            held.append(Dispatcher(engine, settings.server, loop, session_key=bytes(32), facts=ServerFacts()))
            return await _converse(held[0], file.tokens["some"])

    assert asyncio.run(session()).count(b" 200 ") == 4
    modules = [module for name, module in sys.modules.items() if name.startswith("bus.")]
    texts = list(_texts(*held, *[value for module in modules for value in vars(module).values()]))
    assert any(b"/v1/namespaces HTTP/1.1" in text for text in texts), "heads are remembered"
    assert not any(file.tokens["some"][4:-1].encode() in text for text in texts)
