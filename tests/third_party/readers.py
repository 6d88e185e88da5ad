"""Readers of server-sent events in Python and in the shell, each as its documentation says to use it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import httpx
import httpx_sse
import requests
import requests_sse
import sseclient

from bus.sse import EventReader
from tests.support import PATIENCE

Headers = dict[str, str]


class BrokenError(Exception):
    """The connection of a reader broke."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An event as a client reports it."""

    kind: str
    data: str
    id: str


@dataclass(frozen=True, slots=True)
class Reader:
    """How a library listens on a URL with some headers, and how the HTTP client it goes with sends a body.

    ``listen`` ends or raises `BrokenError` when the connection does; ``send`` returns the status and the headers by
    their names in lower case.
    """

    listen: Callable[[str, Headers], Iterator[Heard]]
    send: Callable[[str, str, str], tuple[int, Headers]]


def _lower(headers: Mapping[str, str]) -> Headers:
    return {name.lower(): value for name, value in headers.items()}


def _httpx_sse(url: str, headers: Headers) -> Iterator[Heard]:
    try:
        with (
            httpx.Client(timeout=PATIENCE, headers=headers) as client,
            httpx_sse.connect_sse(client, "GET", url) as source,
        ):
            for event in source.iter_sse():
                yield Heard(event.event, event.data, event.id)
    except httpx.TransportError as error:
        raise BrokenError from error


def _httpx(method: str, url: str, body: str) -> tuple[int, Headers]:
    answer = httpx.request(method, url, content=body, timeout=PATIENCE)
    return answer.status_code, _lower(answer.headers)


def _sseclient(url: str, headers: Headers) -> Iterator[Heard]:
    try:
        with requests.get(url, stream=True, headers=headers, timeout=PATIENCE) as answer:
            for event in sseclient.SSEClient(answer.iter_content(None)).events():
                yield Heard(event.event, event.data, event.id or "")
    except requests.RequestException as error:
        raise BrokenError from error


def _requests_sse(url: str, headers: Headers) -> Iterator[Heard]:
    """It connects again by itself."""
    with requests_sse.EventSource(url, headers=headers, timeout=PATIENCE) as source:
        for event in source:
            yield Heard(event.type, event.data, event.last_event_id)


def _requests(method: str, url: str, body: str) -> tuple[int, Headers]:
    answer = requests.request(method, url, data=body, timeout=PATIENCE)
    return answer.status_code, _lower(answer.headers)


def _curl_stream(url: str, headers: Headers) -> Iterator[Heard]:
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["curl", "--silent", "--no-buffer", *given, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout
        reader = EventReader()
        try:
            while data := process.stdout.read(65536):
                for event in reader.feed(data):
                    yield Heard(event.kind, event.data.decode(), event.id)
        finally:
            process.kill()


def _curl(method: str, url: str, body: str) -> tuple[int, Headers]:
    command = ["curl", "--silent", "--include", "--request", method, "--data", body, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    first, *lines = done.stdout.partition("\n\n")[0].splitlines()
    pairs = (line.partition(": ") for line in lines)
    return int(first.split()[1]), _lower({name: value for name, _, value in pairs})


READERS: Mapping[str, Reader] = {
    "curl": Reader(_curl_stream, _curl),
    "httpx-sse": Reader(_httpx_sse, _httpx),
    "sseclient-py": Reader(_sseclient, _requests),
    "requests-sse": Reader(_requests_sse, _requests),
}
