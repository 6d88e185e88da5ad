"""What others wrote of the dashboard is what npm has, and it is said what that is."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from bus.ui.files import page_file_names
from tests.docs.blocks import ROOT
from tests.third_party.client import HERE
from tests.third_party.conftest import need_packages

VENDOR = ROOT / "src" / "bus" / "ui" / "page" / "vendor"


class Vendored(msgspec.Struct, forbid_unknown_fields=True):
    """One file of others: the package it is from, by name, version and hash, and its own hash."""

    file: str
    package: str
    version: str
    from_: str = msgspec.field(name="from")
    package_integrity: str
    sha256: str
    contains: str
    licences: dict[str, str]

    def __repr__(self) -> str:
        return self.file


FILES = msgspec.json.decode((VENDOR / "vendored.json").read_bytes(), type=list[Vendored])


def test_all_files_of_others_are_listed() -> None:
    assert {f"vendor/{one.file}" for one in FILES} == {name for name in page_file_names() if name.startswith("vendor/")}


@pytest.mark.parametrize("one", FILES, ids=repr)
def test_it_is_what_npm_has(one: Vendored) -> None:
    need_packages()
    here, there = (VENDOR / one.file).read_bytes(), (HERE / "node_modules" / one.package / one.from_).read_bytes()
    assert here == there
    assert hashlib.sha256(here).hexdigest() == one.sha256
    locked = msgspec.json.decode((HERE / "package-lock.json").read_bytes())["packages"][f"node_modules/{one.package}"]
    assert (locked["version"], locked["integrity"]) == (one.version, one.package_integrity)


@pytest.mark.parametrize("one", FILES, ids=repr)
def test_its_licences_are_beside_it(one: Vendored) -> None:
    for package in one.licences:
        assert Path(VENDOR / f"LICENSE.{package}.txt").read_text().strip()
