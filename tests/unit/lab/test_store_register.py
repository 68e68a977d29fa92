"""Files become a dataset: all of them, as they are, or none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab_stores import ROOM, blobs_on_disk, check_whole, new_store, written

from poliqi.base.errors import DataRefused, StoreError
from poliqi.lab.store import intake
from poliqi.lab.store.records import ActionKind, DatasetId, InstrumentId, Kind, NewAction, SampleId
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.tenant import TenantStore

# from the test vectors and the manual of BLAKE3
EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
ABC = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TenantStore]:
    with new_store(tmp_path / "store") as opened:
        yield opened
    check_whole(tmp_path / "store")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return written(tmp_path / "files", {"abc.txt": b"abc", "deep/er/empty.dat": b"", "again.txt": b"abc"})


def refused(store: TenantStore, *paths: Path, **more: object) -> str:
    """The words of a refusal, after which nothing is there."""
    with pytest.raises(DataRefused) as error:
        store.register(paths, **({"title": "x"} | more))  # type: ignore[arg-type]
    assert store.count() == 0
    assert blobs_on_disk(store.folder) == set()
    return str(error.value)


def test_a_folder_is_taken_in_with_paths_below_it(store: TenantStore, files: Path) -> None:
    dataset = store.register([files], title="Two of three are equal")
    assert {file.path: (file.blake3, file.size_bytes) for file in dataset.files} == {
        "abc.txt": (ABC, 3),
        "again.txt": (ABC, 3),
        "deep/er/empty.dat": (EMPTY, 0),
    }
    assert blobs_on_disk(store.folder) == {ABC, EMPTY}


def test_a_file_is_taken_in_under_its_name(store: TenantStore, files: Path) -> None:
    dataset = store.register([files / "deep/er/empty.dat"], title="One")
    assert [(file.path, file.media_type) for file in dataset.files] == [("empty.dat", "text/plain")]


def test_a_record_is_read_back_as_it_was_entered(store: TenantStore, files: Path) -> None:
    sample = store.add_sample("AgBh", "silver behenate", {"thickness_mm": "0.2"})
    instrument = store.add_instrument("Xeuss", place="room 12")
    dataset = store.register(
        [files],
        title="Frames « 1 »",
        description="First\nand second line",
        sample=sample.id,
        instrument=instrument.id,
        licence="cc-by-4.0",
        creator="Ada Rossi",
        keywords=["saxs", "saxs", "silver"],
        made_unix_s=1_700_000_000.123456,
    )
    assert store.dataset(dataset.id) == dataset
    assert store.find() == [dataset.brief]
    assert (dataset.licence, dataset.keywords) == ("CC-BY-4.0", ("saxs", "silver"))
    assert dataset.made_unix_s == 1_700_000_000.123
    assert (store.sample(sample.id), store.instrument(instrument.id)) == (sample, instrument)
    assert (store.samples(), store.instruments()) == ([sample], [instrument])


def test_a_file_of_many_parts_is_hashed_as_a_whole(store: TenantStore, tmp_path: Path) -> None:
    from blake3 import blake3

    data = os.urandom(1 << 20) * 70 + b"tail"
    (tmp_path / "big.h5").write_bytes(data)
    told: list[tuple[int, int]] = []
    dataset = store.register([tmp_path / "big.h5"], title="Big", progress=lambda *at: told.append(at))
    assert dataset.files[0].blake3 == blake3(data).hexdigest()
    assert store.file_path(dataset.files[0]).read_bytes() == data
    assert told[-1] == (len(data), len(data))
    assert len(told) > 2


def test_a_copy_across_file_systems_is_the_same(
    store: TenantStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuses)
    data = b"0123456789abcdef" * 200_000
    (tmp_path / "big.h5").write_bytes(data)
    dataset = store.register([tmp_path / "big.h5"], title="Big")
    assert store.file_path(dataset.files[0]).read_bytes() == data


def test_many_files_are_one_dataset(store: TenantStore, tmp_path: Path) -> None:
    many = {f"{number % 7}/{number}.dat": b"%d" % number for number in range(50)}
    dataset = store.register([written(tmp_path / "many", many)], title="Many")
    assert {file.path: store.content(file, 100) for file in dataset.files} == many
    store.copy_out(dataset.id, tmp_path / "out")
    assert {path: (tmp_path / "out" / path).read_bytes() for path in many} == many


def test_everything_is_private(store: TenantStore, files: Path) -> None:
    store.register([files], title="x")
    for place in store.folder.rglob("*"):
        mode = place.stat().st_mode & 0o777
        assert mode == (0o700 if place.is_dir() else 0o400 if "blobs" in place.parts else 0o600), place


def test_the_source_can_change_afterwards(store: TenantStore, files: Path) -> None:
    dataset = store.register([files / "abc.txt"], title="x")
    (files / "abc.txt").write_bytes(b"abd")
    assert store.content(dataset.files[0], 10) == b"abc"


def test_with_once_the_same_files_are_one_dataset(store: TenantStore, files: Path) -> None:
    first = store.register([files], title="x", once=True)
    assert store.register([files], title="other words", once=True) == first
    assert store.register([files], title="x").id != first.id
    assert store.register([files], title="x", once=True, kind=Kind.SIMULATED).kind is Kind.SIMULATED


@pytest.mark.parametrize("place", ["link", "folder/link", "folder/inner"])
def test_symlinks_are_refused(store: TenantStore, files: Path, tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / place).symlink_to(files / ("deep" if place.endswith("inner") else "abc.txt"))
    assert "symlink" in refused(store, tmp_path / place.split("/")[0])


def test_a_file_that_becomes_a_symlink_is_refused(
    store: TenantStore, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = intake.survey([files], ROOM)
    (files / "abc.txt").rename(files / "elsewhere")
    (files / "abc.txt").symlink_to("elsewhere")
    monkeypatch.setattr("poliqi.lab.store.tenant.survey", lambda *_: found)
    refused(store, files)


def test_what_is_no_file_is_refused(store: TenantStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a folder" in refused(store, tmp_path / "pipe")
    assert "No such file" in refused(store, tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "at least one" in refused(store, tmp_path / "empty")
    assert "at least one" in refused(store)


def test_two_files_of_one_path_are_refused(store: TenantStore, files: Path) -> None:
    assert "'abc.txt'" in refused(store, files, files / "abc.txt")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\u202efdp.exe", b"\xff".decode(errors="surrogateescape")])
def test_names_that_cannot_be_shown_are_refused(store: TenantStore, tmp_path: Path, name: str) -> None:
    written(tmp_path / "odd", {name: b""})
    assert "rename" in refused(store, tmp_path / "odd")


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    odd = written(tmp_path / "odd", {"a": b"1234", "b": b"12345", "c": b"1"})
    for limits, words in (
        (Limits(4, 100, 10, 0), "limits.file_gb"),
        (Limits(5, 9, 10, 0), "limits.dataset_gb"),
        (Limits(5, 10, 2, 0), "limits.dataset_files"),
    ):
        with new_store(tmp_path / "store", limits) as store:
            assert words in refused(store, odd)
    with new_store(tmp_path / "store", Limits(5, 10, 3, 0)) as store:
        store.register([odd], title="just fits")


def test_a_file_that_grows_is_refused(store: TenantStore, files: Path) -> None:
    def grow(*_: int) -> None:
        with (files / "abc.txt").open("ab") as file:
            file.write(b"more")

    assert "changed while it was read" in refused(store, files / "abc.txt", progress=grow)


def test_unknown_licences_are_refused(store: TenantStore, files: Path) -> None:
    assert "spdx.org" in refused(store, files, licence="free for all")
    assert store.register([files], title="x", licence="LicenseRef-Agreement").licence == "LicenseRef-Agreement"


def test_a_name_stands_once(store: TenantStore) -> None:
    for add in (store.add_sample, store.add_instrument):
        add("AgBh")
        with pytest.raises(DataRefused, match="stands already"):
            add("AgBh")


def test_what_is_not_there_is_refused(store: TenantStore, files: Path) -> None:
    assert "no sample" in refused(store, files, sample=SampleId("a" * 26))
    assert "no instrument" in refused(store, files, instrument=InstrumentId("a" * 26))
    with pytest.raises(DataRefused, match="no dataset"):
        store.dataset(DatasetId("a" * 26))


@pytest.mark.parametrize(
    "how",
    [
        {"title": " "},
        {"title": "two\nlines"},
        {"title": "x" * 501},
        {"creator": "\x1b[31m"},
        {"description": "bell\x07"},
        {"description": "x" * 100_001},
        {"keywords": ["\u202e"]},
        {"keywords": [str(n) for n in range(101)]},
        {"made_unix_s": float("nan")},
        {"made_unix_s": -1.0},
        {"made_unix_s": 1e15},
    ],
)
def test_descriptions_that_cannot_be_shown_are_refused(
    store: TenantStore, files: Path, how: dict[str, object]
) -> None:
    refused(store, files, **how)


def test_what_was_promised_is_held_against_what_came(store: TenantStore, files: Path) -> None:
    path = files / "abc.txt"
    assert "promised" in refused(store, path, expected={"abc.txt": EMPTY})
    assert "missing" in refused(store, path, expected={"abc.txt": ABC, "other.txt": EMPTY})
    assert "BLAKE3" in refused(store, path, expected={"abc.txt": "../../../etc/passwd"})
    store.register([path], title="x", expected={"abc.txt": ABC})


def test_derived_data_come_from_jobs_alone(store: TenantStore, files: Path) -> None:
    with pytest.raises(ValueError, match="run"):
        store.register([files], title="x", kind=Kind.DERIVED)


def test_an_action_comes_in_with_its_dataset_once(store: TenantStore, files: Path) -> None:
    action = NewAction(ActionKind.RECEIVED, "transfer 7", 1.0, 2.0, {"epsilon": 1e-10}, {"receipt.json": b"{}"})
    dataset = store.register([files], title="x", kind=Kind.RECEIVED, action=action)
    [entered] = store.actions(dataset.id)
    assert (entered.facts_json, store.action_file(entered, "receipt.json")) == ('{"epsilon":1e-10}', b"{}")
    with pytest.raises(DataRefused, match="no file"):
        store.action_file(entered, "receipt.xml")
    with pytest.raises(DataRefused, match=dataset.id):
        store.register([files], title="x", kind=Kind.RECEIVED, action=action)
    assert store.add_action(dataset.id, action) == entered == store.find_action(ActionKind.RECEIVED, "transfer 7")
    assert store.find_action(ActionKind.SENT, "transfer 7") is None
    with pytest.raises(DataRefused, match="JSON"):
        store.add_action(dataset.id, NewAction(ActionKind.SENT, "k", 1.0, 2.0, {"x": float("nan")}))


def test_scratch_is_private_and_goes(store: TenantStore) -> None:
    with store.scratch() as folder:
        (folder / "x").write_text("y")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_nothing_that_stands_can_be_changed(store: TenantStore, files: Path) -> None:
    import sqlite3

    store.register([files], title="x")
    database = sqlite3.connect(store.folder / "catalogue.sqlite")
    for statement in ("UPDATE dataset SET kind = 'measured'", "DELETE FROM file", "UPDATE blob SET size_bytes = 0"):
        with pytest.raises(sqlite3.DatabaseError, match="never changed"):
            database.execute(statement)
    database.close()


def test_many_small_files_cost_few_syncs(
    store: TenantStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    source = written(tmp_path / "many", {f"{n}": b"%d" % n for n in range(32)})
    dataset = store.register([source], title="Many")
    assert len(synced) <= 4
    assert store.verify(dataset.id) == ()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = new_store(tmp_path / "store")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.find()
