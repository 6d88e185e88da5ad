"""Servers with a token file, and requests of those it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from bus.access.token import hash_of, new_token
from bus.sse import ServerSentEvent
from bus.wire import SSE
from tests.server.support import target
from tests.support import PATIENCE, Answer, Listening, Stream, connect, request

Rights = Mapping[str, object]


class TokenFile:
    """A token file, rewritten with every change, and the tokens themselves; ``certs`` are rights of certificates."""

    def __init__(self, path: Path, anonymous: Rights | None = None, **rights: Rights) -> None:
        self.path = path
        self.anonymous = anonymous
        self.rights = dict(rights)
        self.certs: dict[str, Rights] = {}
        self.tokens = {name: new_token() for name in rights}
        self.write()

    def write(self) -> None:
        """Replace the file as it is on disk by what is known here."""
        tables = [] if self.anonymous is None else [("anonymous", self.anonymous)]
        for name, rights in self.rights.items():
            tables.append((f"tokens.{name}", {"hash": hash_of(self.tokens[name]), **rights}))
        tables += [(f'certs."{name}"', rights) for name, rights in self.certs.items()]
        self.write_text("\n".join(["[tokens]", *map(_table, tables)]))

    def write_text(self, text: str) -> None:
        """Replace the file by *text*, at once."""
        new = self.path.with_suffix(".new")
        new.touch(0o600)
        new.write_text(text)
        new.replace(self.path)

    def add(self, name: str, rights: Rights) -> None:
        """Put a token into the file."""
        self.rights[name] = rights
        self.tokens[name] = new_token()
        self.write()

    def revoke(self, name: str) -> None:
        """Take a token out of the file."""
        del self.rights[name]
        self.write()


def _table(table: tuple[str, Rights]) -> str:
    name, rights = table
    lines = [f"{key} = {_value(key, value)}" for key, value in rights.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _value(key: str, value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(name, inner)}" for name, inner in value.items()) + " }"
    return str(value) if key == "expires" else msgspec.json.encode(value).decode()


def ask(
    server: Listening, token: str, method: str, path: str = "/", body: bytes | None = None, **headers: str
) -> Answer:
    """One request with *token*, or without one if that is empty."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return request(server, method, path, body, timeout=PATIENCE, **headers)


def publish(server: Listening, token: str, subject: str, payload: object = None, **fields: object) -> Answer:
    """Publish one event with *token*."""
    return ask(server, token, "POST", "/", msgspec.json.encode({"subject": subject, "payload": payload, **fields}))


def settle(server: Listening, token: str, consumer_id: str, event_id: str, body: bytes = b"", **more: str) -> Answer:
    """``PUT /`` with *token*."""
    query = urlencode({"consumer_id": consumer_id, "event_id": event_id, **more})
    return ask(server, token, "PUT", f"/?{query}", body)


@contextmanager
def stream(server: Listening, token: str, subject: str, *, accept: str = SSE, **parameters: object) -> Iterator[Stream]:
    """A subscription with *token*."""
    head = f"GET {target(subject, **parameters)} HTTP/1.1\r\nHost: bus\r\nConnection: close\r\nAccept: {accept}\r\n"
    with connect(server.port) as connection:
        connection.sendall(f"{head}Authorization: Bearer {token}\r\n\r\n".encode())
        found = Stream(connection)
        found._read_head()
        yield found


def opened(found: Stream) -> str:
    """The consumer id of a stream."""
    return found.headers["x-bus-consumer-id"]


def told(found: Stream) -> ServerSentEvent:
    """The error that a stream ends with."""
    (error,) = found.take(1, "error")
    assert found.rest() == []
    return error
