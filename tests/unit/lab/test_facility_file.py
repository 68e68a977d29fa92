"""A facility's file: brought up to a newer version, or refused; and what its specification says of its tables."""

from __future__ import annotations

import re
from pathlib import Path

import apsw
import pytest
from facility_rig import make_world

from poliqi.base.errors import StoreError
from poliqi.lab.facility import database
from poliqi.lab.facility.facility import Facility
from poliqi.lab.facility.schema import APPLICATION, RECORDS, STATE, VERSION

SPEC = Path(__file__).parents[3] / "docs" / "spec" / "lab-facility.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_world(tmp_path / "lab").facility.close()
    return tmp_path / "lab"


def asked(root: Path, statement: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(root / "facility.sqlite"))
    try:
        return list(connection.execute(statement))
    finally:
        connection.close()


def newer(monkeypatch: pytest.MonkeyPatch, *steps: str) -> int:
    """A later release: so many versions on."""
    monkeypatch.setattr(database, "VERSION", VERSION + len(steps))
    monkeypatch.setattr(database, "MIGRATIONS", {VERSION + at: step for at, step in enumerate(steps)})
    return VERSION + len(steps)


def test_an_older_file_is_brought_up_to_date(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = newer(
        monkeypatch,
        "CREATE TABLE room (name TEXT) STRICT",
        "INSERT INTO room VALUES ('a'); INSERT INTO room VALUES ('b')",
    )
    for _ in range(2):
        with Facility.open(root) as facility:
            assert facility.user("op").is_operator
            facility.verify_audit()
        assert asked(root, "PRAGMA user_version") == [(version,)]
        assert asked(root, "SELECT name FROM room ORDER BY name") == [("a",), ("b",)]


def test_steps_that_fail_leave_the_file_as_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    newer(monkeypatch, "CREATE TABLE room (name TEXT) STRICT", "INSERT INTO nothing VALUES (1)")
    with pytest.raises(StoreError, match="nothing"):
        Facility.open(root)
    monkeypatch.undo()
    assert asked(root, "PRAGMA user_version") == [(VERSION,)]
    assert asked(root, "SELECT 1 FROM sqlite_schema WHERE name = 'room'") == []
    Facility.open(root).close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (f"PRAGMA user_version={VERSION + 1}", "install the newer program"),
        (f"PRAGMA user_version={VERSION - 1}", "which no release made"),
        ("PRAGMA application_id=1", "is no facility"),
    ],
)
def test_a_file_of_another_kind_is_refused(root: Path, statement: str, words: str) -> None:
    asked(root, statement)
    with pytest.raises(StoreError, match=words):
        Facility.open(root)


def test_the_specification_names_every_table_and_column(root: Path) -> None:
    """As SQLite itself tells them, in their order."""
    told = {
        name: re.findall(r"`(\w+)`", columns)
        for name, columns in re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", SPEC.read_text(), re.MULTILINE)
    }
    tables = [str(name) for (name,) in asked(root, "SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {
        name: [str(column) for (column,) in asked(root, f"SELECT name FROM pragma_table_info('{name}')")]
        for name in tables
    }
    assert told == found
    assert set(found) == {*RECORDS, *STATE, "audit"}
    assert f"`user_version` {VERSION}" in SPEC.read_text()
    assert f"{APPLICATION:#010x}".lower() in SPEC.read_text().lower()
