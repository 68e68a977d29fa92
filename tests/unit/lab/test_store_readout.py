"""What comes out of the store is what went in, or it is refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lab_stores import check_whole, new_store, written

from poliqi.base.errors import ConfigError, DataRefused, StoreError
from poliqi.lab.store.readout import copy_out
from poliqi.lab.store.records import ActionKind, Dataset, NewAction, StoredFile
from poliqi.lab.store.tenant import TenantStore

FILES = {"a.txt": b"first", "deep/er/b.txt": b"second", "deep/c.txt": b"first"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TenantStore]:
    with new_store(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def dataset(store: TenantStore, tmp_path: Path) -> Dataset:
    action = NewAction(ActionKind.IMPORTED, "k", 1.0, 2.0, files={"receipt": b"signed"})
    return store.register([written(tmp_path / "in", FILES)], title="x", action=action)


def rot(store: TenantStore, file: StoredFile, data: bytes) -> None:
    place = store.file_path(file)
    place.chmod(0o600)
    place.write_bytes(data)


def test_it_comes_out_as_it_went_in(store: TenantStore, dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "out"
    store.copy_out(dataset.id, out)
    assert {str(place.relative_to(out)): place.read_bytes() for place in out.rglob("*") if place.is_file()} == FILES
    assert {place.stat().st_mode & 0o777 for place in out.rglob("*") if place.is_file()} == {0o600}


def test_nothing_is_overwritten(store: TenantStore, dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("out", "link"):
        with pytest.raises(ConfigError, match="never overwritten"):
            store.copy_out(dataset.id, tmp_path / name)
    with pytest.raises(StoreError, match="No such file"):
        store.copy_out(dataset.id, tmp_path / "no" / "out")


@pytest.mark.parametrize("data", [b"f1rst", b"firs", b"firsts"])
def test_what_has_rotted_does_not_come_out(
    store: TenantStore, dataset: Dataset, tmp_path: Path, data: bytes
) -> None:
    assert store.verify(dataset.id) == ()
    rot(store, dataset.files[0], data)
    with pytest.raises(DataRefused, match="changed"):
        store.copy_out(dataset.id, tmp_path / "out")
    with pytest.raises(DataRefused, match="changed"):
        store.content(dataset.files[0], 100)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["in", "store"]
    assert [line.split(":")[0] for line in store.verify(dataset.id)] == ["a.txt", "deep/c.txt"]


def test_what_is_missing_is_told(store: TenantStore, dataset: Dataset, tmp_path: Path) -> None:
    store.file_path(dataset.files[2]).unlink()
    with pytest.raises(DataRefused, match="missing"):
        store.copy_out(dataset.id, tmp_path / "out")
    assert len(store.verify(dataset.id)) == 1
    with pytest.raises(DataRefused, match="missing"):
        store.file_path(dataset.files[2])


def test_a_changed_receipt_is_told(store: TenantStore, dataset: Dataset) -> None:
    [action] = store.actions(dataset.id)
    rot(store, action.files[0], b"forged")
    assert len(store.verify(dataset.id)) == 1
    with pytest.raises(DataRefused, match="changed"):
        store.action_file(action, "receipt")


def test_registering_again_mends_what_has_rotted(store: TenantStore, dataset: Dataset, tmp_path: Path) -> None:
    rot(store, dataset.files[0], b"f1rst")
    store.register([tmp_path / "in"], title="again")
    assert store.verify(dataset.id) == ()
    check_whole(store.folder)


def test_a_blob_that_became_a_symlink_is_not_followed(store: TenantStore, dataset: Dataset, tmp_path: Path) -> None:
    place = store.file_path(dataset.files[0])
    place.unlink()
    place.symlink_to(tmp_path / "in" / "a.txt")
    with pytest.raises(StoreError, match="cannot be read"):
        store.copy_out(dataset.id, tmp_path / "out")


def test_a_large_file_is_not_read_into_memory(store: TenantStore, dataset: Dataset) -> None:
    assert store.content(dataset.files[0], 5) == b"first"
    with pytest.raises(DataRefused, match="at most 4"):
        store.content(dataset.files[0], 4)


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", "a//b", ".", "", "a/\n"])
def test_no_path_of_a_catalogue_leads_out(store: TenantStore, dataset: Dataset, tmp_path: Path, path: str) -> None:
    forged = replace(dataset, files=(replace(dataset.files[0], path=path),))
    with pytest.raises(DataRefused, match="path"):
        copy_out(forged, tmp_path / "out", store._blobs, lambda count: None)
    assert sorted(place.name for place in tmp_path.iterdir()) == ["in", "store"]


@pytest.mark.parametrize("digest", ["../" * 20 + "etc/passwd", "A" * 64, "ab", "", "0" * 63 + "/"])
def test_no_hash_leads_out(store: TenantStore, digest: str) -> None:
    with pytest.raises(DataRefused, match="BLAKE3"):
        store.file_path(StoredFile("x", 1, digest))


def test_a_full_disk_leaves_no_half_folder(
    store: TenantStore, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError, match="No space left"):
        store.copy_out(dataset.id, tmp_path / "out")
    assert sorted(place.name for place in tmp_path.iterdir()) == ["in", "store"]
