"""The table of namespaces: what is written is read again, damage is noticed, and a power cut leaves it old or new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.config import parse_keep
from bus.engine.embedded.namespace_table import KeptNamespace, NamespaceTable, State, decode, encode
from bus.errors import CorruptLogError, LogVersionError, StorageError
from bus.namespace import Compact, Keep, NamespaceSettings, Storage
from tests.storage.doubles import FaultyFiles, PowerCutError
from tests.storage.forgetful import ForgetfulFiles, NeverSyncsFiles, NeverSyncsNames
from tests.storage.test_durability import disks_after

PLACE = Path("namespaces.table")

sizes = st.integers(0, 10**18).map(float).map(int)
"""Settings that are written as text are read as doubles."""
keeps = st.builds(
    Keep,
    st.none() | st.integers(0, 10**9).map(float) | st.integers(1, 10**9).map(lambda thousandths: thousandths / 1000),
    st.none() | sizes,
    st.none() | sizes,
)
settings_of = st.builds(
    NamespaceSettings,
    storage=st.sampled_from(Storage),
    retention=st.none() | keeps,
    max_bytes=st.none() | sizes,
    compact=st.none() | st.sampled_from(Compact),
)
rows_of = st.dictionaries(
    st.from_regex(r"[\w-]{1,20}", fullmatch=True), st.tuples(st.sampled_from(State), settings_of), max_size=5
).map(lambda found: {name: KeptNamespace(name, *about) for name, about in found.items()})


@given(rows_of)
def test_what_is_written_is_read_again(rows: dict[str, KeptNamespace]) -> None:
    assert decode(encode(rows), PLACE) == rows


@given(keeps)
def test_a_retention_is_written_as_it_is_read(keep: Keep) -> None:
    assert parse_keep(str(keep)) == keep


@given(rows_of, st.data())
def test_damage_is_noticed(rows: dict[str, KeptNamespace], data: st.DataObject) -> None:
    whole = bytearray(encode(rows))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((CorruptLogError, LogVersionError)):
        decode(bytes(whole), PLACE)


def test_another_version_is_refused_by_name() -> None:
    with pytest.raises(LogVersionError, match=r"namespaces\.table is of version 2: this Bus knows version 1"):
        decode(b"bus.namespaces 2 00000000\n", PLACE)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "namespaces.table").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="is a symbolic link"):
        NamespaceTable(tmp_path / "namespaces.table")


def test_what_can_not_be_written_changes_nothing(tmp_path: Path) -> None:
    table = NamespaceTable(tmp_path / "gone" / "namespaces.table")
    with pytest.raises(StorageError, match="can't be written"):
        table.put(KeptNamespace("orders", State.MADE))
    assert not table.rows


def changes(table: NamespaceTable, seen: list[dict[str, KeptNamespace]]) -> None:
    """Change *table* a few times; the last of *seen* is what is being written."""
    for step in range(6):
        row = KeptNamespace(f"n{step % 2}", State.MADE, NamespaceSettings(max_bytes=step))
        seen.append({**table.rows, row.name: row})
        table.put(row)
    seen.append({"n1": table.rows["n1"]})
    table.remove("n0")


def violations(disk: type[ForgetfulFiles]) -> int:
    """How many of all power cuts leave a table that is neither as it was before nor as it was to be."""
    broken = number = 0
    while True:
        seen: list[dict[str, KeptNamespace]] = [{}]
        files = FaultyFiles(disk(), stop_at=number)
        table = NamespaceTable(PLACE, files=files)
        try:
            changes(table, seen)
        except PowerCutError:
            assert isinstance(files.inner, ForgetfulFiles)
            broken += sum(not _is_one_of(seen[-2:], left) for left in disks_after(files.inner, number))
        else:
            assert number >= 20
            return broken
        number += 1


def _is_one_of(allowed: Sequence[dict[str, KeptNamespace]], files: ForgetfulFiles) -> bool:
    try:
        return NamespaceTable(PLACE, files=files).rows in allowed
    except StorageError:
        return False


def test_it_is_as_before_or_as_it_was_to_be_whenever_the_power_is_cut() -> None:
    assert violations(ForgetfulFiles) == 0


@pytest.mark.parametrize("disk", [NeverSyncsFiles, NeverSyncsNames])
def test_the_control_for_that_a_disk_that_does_not_sync_loses(disk: type[ForgetfulFiles]) -> None:
    assert violations(disk) > 0
