"""Datasets are found by the beginnings of words, newest first."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from lab_stores import new_store, written

from poliqi.base.errors import DataRefused, StoreError
from poliqi.lab.store.records import Kind, Task
from poliqi.lab.store.tenant import TenantStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> TenantStore:
    folder = tmp_path_factory.mktemp("search")
    source = written(folder / "files", {"x": b"x"})
    store = new_store(folder / "store")
    sample = store.add_sample("Argento-7")
    store.register([source], title="Curva di Guinier", creator="Niccolò Rossi", keywords=["SAXS"])
    store.register([source], title="Frames of AgBh", sample=sample.id, description="Ångström calibration")
    store.register([source], title="Calculated frames", kind=Kind.SIMULATED, keywords=["saxs", "model_2"])
    return store


@pytest.mark.parametrize(
    ("words", "titles"),
    [
        ("", ["Calculated frames", "Frames of AgBh", "Curva di Guinier"]),
        ("frames", ["Calculated frames", "Frames of AgBh"]),
        ("FRA", ["Calculated frames", "Frames of AgBh"]),
        ("frames calc", ["Calculated frames"]),
        ("niccolo", ["Curva di Guinier"]),
        ("ÅNGSTROM", ["Frames of AgBh"]),
        ("argento", ["Frames of AgBh"]),
        ("Argento-7", ["Frames of AgBh"]),
        ("saxs", ["Calculated frames", "Curva di Guinier"]),
        ("model_2", ["Calculated frames"]),
        ("uinier", []),
        ("frames nothing", []),
        ("?! -- * ()", ["Calculated frames", "Frames of AgBh", "Curva di Guinier"]),
    ],
)
def test_words(store: TenantStore, words: str, titles: list[str]) -> None:
    assert [one.title for one in store.find(words)] == titles
    assert store.count(words) == len(titles)


def test_filters(store: TenantStore) -> None:
    assert [one.title for one in store.find("frames", Kind.SIMULATED)] == ["Calculated frames"]
    assert [one.title for one in store.find(sample=store.sample_named("Argento-7").id)] == ["Frames of AgBh"]
    assert store.count(kind=Kind.DERIVED) == 0


def test_a_list_reads_no_files(tmp_path: Path) -> None:
    """Records are spoilt behind the store's back: a list that decodes them, with every file, would fail."""
    store = new_store(tmp_path / "store")
    made = store.register([written(tmp_path / "files", {f"{n}": b"%d" % n for n in range(20)})], title="Twenty")
    store.run(Task("reduce", "1", {}, (made.id,)), lambda folder: (folder / "curve").touch())
    with sqlite3.connect(store.folder / "catalogue.sqlite") as database:
        database.executescript("DROP TRIGGER dataset_update; UPDATE dataset SET record = '{}';")
    database.close()
    assert [(one.title, one.file_count, one.size_bytes) for one in store.find()] == [
        ("reduce", 1, 0),
        ("Twenty", 20, 30),
    ]
    assert [one.title for one in store.derived(made.id, limit=1)] == ["reduce"]
    assert store.derived_count(made.id) == 1
    with pytest.raises(StoreError, match="damaged"):
        store.dataset(made.id)
    store.close()


def test_pages(store: TenantStore) -> None:
    assert [one.title for one in store.find(limit=1, offset=1)] == ["Frames of AgBh"]
    assert store.find(offset=3) == []


@pytest.mark.parametrize(
    "words", ['"', "title:frames", "a AND b", "NEAR(a b)", "^fra", "x'; DROP TABLE dataset", "\x00", "fra\x00mes"]
)
def test_no_word_is_a_command(store: TenantStore, words: str) -> None:
    store.find(words)
    assert store.count() == 3


def test_too_many_words_are_refused(store: TenantStore) -> None:
    with pytest.raises(DataRefused, match="at most 20"):
        store.find("a " * 21)
    with pytest.raises(DataRefused, match="500"):
        store.find("a" * 501)


def test_an_identifier_is_found_by_its_beginning(store: TenantStore) -> None:
    first = store.find()[0].id
    assert store.resolve(first[:8]) == first
    assert len(store.all_ids()) == 3
    for start in (first[:3], "", "zzzz", "%%%%"):
        with pytest.raises(DataRefused, match="4 letters"):
            store.resolve(start)
