"""A store and its tenants: made once, private, opened by whoever owns it."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest
from facility_rig import make_world
from lab_stores import written

from poliqi.base.errors import ConfigError, StoreError
from poliqi.lab.facility.facility import Facility
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.store import LabStore


@pytest.fixture
def lab(tmp_path: Path) -> LabStore:
    return LabStore.create(tmp_path / "lab", "Politecnico di Milano")


def test_a_new_store_has_its_owner(lab: LabStore) -> None:
    assert lab.tenants() == ["politecnico-di-milano"]
    assert LabStore.open(lab.root).settings == lab.settings
    with lab.tenant() as own:
        assert own.name == "politecnico-di-milano"


def test_the_owner_can_be_named(tmp_path: Path) -> None:
    assert LabStore.create(tmp_path / "lab", "東京大学", "todai").tenants() == ["todai"]
    with pytest.raises(ConfigError, match="--tenant"):
        LabStore.create(tmp_path / "other", "東京大学")


def test_nothing_is_made_over_another(lab: LabStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (lab.root, tmp_path / "file"):
        with pytest.raises(ConfigError, match="stands already"):
            LabStore.create(place, "Someone")
    with pytest.raises(ConfigError, match="one line"):
        LabStore.create(tmp_path / "new", "two\nlines")
    assert not (tmp_path / "new").exists()


def test_an_empty_folder_may_stand_already(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir(mode=0o755)
    root = LabStore.create(tmp_path / "lab", "Someone").root
    assert (root.stat().st_mode & 0o777, [place.name for place in tmp_path.iterdir()]) == (0o700, ["lab"])


def test_a_store_can_be_made_where_a_facility_stands(tmp_path: Path) -> None:
    make_world(tmp_path / "lab").facility.close()
    made = LabStore.create(tmp_path / "lab", "Politecnico di Milano", "polimi")
    assert made.tenants() == ["polimi"]
    with Facility.open(tmp_path / "lab") as facility:
        assert facility.user("op").tenant == "polimi"
    assert [place.name for place in tmp_path.iterdir()] == ["lab"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "facility.sqlite").touch()
    (tmp_path / "other" / "notes").touch()
    with pytest.raises(ConfigError, match="not empty"):
        LabStore.create(tmp_path / "other", "Someone")


def test_a_facility_in_a_store_is_of_its_own_tenant(lab: LabStore) -> None:
    words = {"legal_name": "Politecnico di Milano", "login": "ada", "name": "Ada"}
    with pytest.raises(ConfigError, match="own tenant is politecnico-di-milano"):
        Facility.create(lab.root, tenant="polimi", **words)
    assert not (lab.root / "facility.sqlite").exists()
    Facility.create(lab.root, tenant="politecnico-di-milano", **words).close()


@pytest.mark.parametrize(
    ("error", "free", "words"),
    [
        (apsw.CantOpenError("unable to open database file"), 10**9, "copy it to a disk first"),
        (apsw.ReadOnlyError("attempt to write a readonly database"), 10**9, "copy it to a disk first"),
        (apsw.IOError("disk I/O error"), 0, "the disk is full"),
        (apsw.IOError("disk I/O error"), 10**9, "check the disk"),
    ],
)
def test_what_the_disk_refuses_is_told_in_words(
    lab: LabStore, monkeypatch: pytest.MonkeyPatch, error: apsw.Error, free: int, words: str
) -> None:
    """A snapshot is read-only; where the log's shared memory cannot grow, SQLite says no more than IOError."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("poliqi.lab.store.database._connect", fails)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1))
    with pytest.raises(StoreError, match=words):
        lab.tenant()


def test_a_store_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(LabStore, "add_tenant", fails)
    with pytest.raises(StoreError, match="full"):
        LabStore.create(tmp_path / "lab", "Someone")
    assert list(tmp_path.iterdir()) == []


def test_tenants_are_added_once(lab: LabStore) -> None:
    lab.add_tenant("acme")
    with pytest.raises(ConfigError, match="stands already"):
        lab.add_tenant("acme")
    assert lab.tenants() == ["acme", "politecnico-di-milano"]


@pytest.mark.parametrize("name", ["..", "a/b", "ACME", ".hidden", "-a", "a-", "a" * 41, "caffè", "a\n", "a b"])
def test_names_that_could_lead_out_are_refused(lab: LabStore, name: str) -> None:
    for call in (lab.add_tenant, lab.tenant):
        with pytest.raises(ConfigError, match="a name is"):
            call(name)


def test_an_unknown_tenant_is_refused_without_naming_the_others(lab: LabStore) -> None:
    lab.add_tenant("secret-customer")
    with pytest.raises(ConfigError, match="'acme' is unknown") as error:
        lab.tenant("acme")
    assert "secret-customer" not in str(error.value)


def test_no_store_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="poliqi lab store init"):
        LabStore.open(tmp_path)


def test_what_others_can_read_is_not_opened(lab: LabStore) -> None:
    part = lab.root / "tenants" / "politecnico-di-milano"
    for place, mode in ((lab.root, 0o700), (part, 0o700), (part / "catalogue.sqlite", 0o600)):
        place.chmod(mode | 0o044)
        with pytest.raises(StoreError, match=f"chmod {mode:o}"):
            LabStore.open(lab.root).tenant()
        place.chmod(mode)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("version = 2", "install a newer"),
        ('organisation = ""', "organisation is empty"),
        ('tenant = "../out"', "a name is"),
        ("colour = 1", "colour"),
        ("[limits]\nfile_gb = -1", "limits.file_gb"),
        ("[limits]\nfile_gb = nan", "limits.file_gb"),
        ("[limits]\ndataset_files = 0", "limits.dataset_files"),
        ("[limits]\nfree_gb = true", "free_gb"),
        ("= =", "lab.toml"),
    ],
)
def test_settings_that_make_no_sense_are_named(lab: LabStore, line: str, words: str) -> None:
    place = lab.root / "lab.toml"
    key = line.split(" =")[0]
    kept = [old for old in place.read_text().splitlines() if not old.startswith(key + " =")]
    place.write_text("\n".join([*kept, line]))
    with pytest.raises(ConfigError, match=words):
        LabStore.open(lab.root)


def test_limits_are_read(lab: LabStore) -> None:
    place = lab.root / "lab.toml"
    limits = "[limits]\nfile_gb = 1.5\ndataset_gb = 2\ndataset_files = 3\nfree_gb = 0\n"
    place.write_text(place.read_text() + limits)
    assert LabStore.open(lab.root).settings.limits == Limits(1_500_000_000, 2_000_000_000, 3, 0)


def test_other_files_are_no_catalogue(lab: LabStore) -> None:
    place = lab.root / "tenants" / "politecnico-di-milano" / "catalogue.sqlite"
    wrong = {"PRAGMA user_version=9": "newer program", "PRAGMA application_id=7": "is no catalogue"}
    for statement, words in wrong.items():
        database = sqlite3.connect(place)
        database.execute(statement)
        database.commit()
        database.close()
        with pytest.raises(StoreError, match=words):
            lab.tenant()
    place.unlink()
    with pytest.raises(ConfigError, match="missing"):
        lab.tenant()


def test_tenants_share_no_file(lab: LabStore, tmp_path: Path) -> None:
    source = written(tmp_path / "in", {"x": b"the same at both"})
    lab.add_tenant("acme")
    for name in ("acme", ""):
        with lab.tenant(name) as part:
            part.register([source], title="x")
    inodes = {place.stat().st_ino for place in lab.root.glob("tenants/*/blobs/*/*")}
    assert len(inodes) == 2
