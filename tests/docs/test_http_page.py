"""docs/http-api.md says what the server does, and no less than its description for machines."""

from __future__ import annotations

import json
import re
from itertools import takewhile
from typing import Any

import msgspec
import pytest

from bus.consumer import ConsumerConnection, ConsumerDescription, Move, PendingDeliveries, PendingDelivery
from bus.engine.administration import DeadLetter, ScheduleDescription
from bus.errors import (
    BusError,
    ConfigError,
    ConnectionFailedError,
    DirectoryLockedError,
    LogVersionError,
    RejectError,
    WrongKeyError,
)
from bus.event import Dead
from bus.namespace import NamespaceDescription
from bus.overview import ClusterNode, GrantedRights, LogLine, ServerCounts, ServerDescription
from bus.server.api.changes import Changes
from bus.server.api.openapi import read_openapi
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "http-api.md").read_text()
DESCRIPTION: dict[str, Any] = json.loads(read_openapi())
NEVER_SENT = {
    ConfigError,
    ConnectionFailedError,
    RejectError,
    WrongKeyError,
    LogVersionError,
    DirectoryLockedError,
}


def _table(head: str, *, below: str = "") -> list[str]:
    """The first cells of the table that begins with *head*, the first one below a heading."""
    section = PAGE.partition(f"\n## {below}\n")[2] if below else PAGE
    rows = section.partition(f"\n| {head} |")[2].splitlines()[2:]
    return [row.split("|")[1] for row in takewhile(lambda row: row.startswith("|"), rows)]


def _names(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def _errors(kind: type[BusError]) -> list[type[BusError]]:
    """The tree of errors, without what others derive from it for themselves."""
    known = [below for below in kind.__subclasses__() if below.__module__ == BusError.__module__]
    return [kind, *(error for below in known for error in _errors(below))]


def test_the_errors_are_those_of_the_server() -> None:
    listed = {code: int(status) for status, code in re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", PAGE, re.MULTILINE)}
    assert listed == {error.code: error.status for error in _errors(BusError) if error not in NEVER_SENT}


@pytest.mark.parametrize(("method", "heading"), [("get", "Subscribe"), ("put", "Acknowledge")])
def test_the_parameters_are_those_of_the_description(method: str, heading: str) -> None:
    described = [parameter["name"] for parameter in DESCRIPTION["paths"]["/"][method]["parameters"]]
    listed = _names(_table("parameter | values | default", below=heading))
    assert listed == [name for name in described if name != "Last-Event-ID"]


def test_the_fields_are_those_of_the_description() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    assert set(_names(_table("field | meaning | if left out"))) == set(schemas["Draft"]["properties"])
    assert set(_names(_table("field |", below="Subscribe"))) == set(schemas["Event"]["properties"])


@pytest.mark.parametrize(
    ("name", "struct"),
    [
        ("Namespace", NamespaceDescription),
        ("Consumer", ConsumerDescription),
        ("PendingDeliveries", PendingDeliveries),
        ("PendingDelivery", PendingDelivery),
        ("ConsumerConnection", ConsumerConnection),
        ("Move", Move),
        ("DeadLetter", DeadLetter),
        ("Dead", Dead),
        ("Schedule", ScheduleDescription),
        ("Changes", Changes),
        ("Server", ServerDescription),
        ("ServerCounts", ServerCounts),
        ("GrantedRights", GrantedRights),
        ("LogLine", LogLine),
        ("ClusterNode", ClusterNode),
    ],
)
def test_what_is_answered_has_the_fields_of_the_description(name: str, struct: type[msgspec.Struct]) -> None:
    schema = DESCRIPTION["components"]["schemas"][name]
    fields = msgspec.structs.fields(struct)
    assert list(schema["properties"]) == [field.encode_name for field in fields]
    assert schema["required"] == [field.encode_name for field in fields if field.required]


def test_the_requests_around_it_are_those_of_the_description() -> None:
    listed = re.findall(r"`([A-Z]+) (/\S+)`", "".join(_table("request | answer")))
    described = [
        (method.upper(), re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), path))
        for path, methods in DESCRIPTION["paths"].items()
        for method in methods
        if path != "/" and method != "parameters"
    ]
    assert set(listed) == {*described, ("GET", "/openapi.json")}
