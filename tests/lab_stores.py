"""Stores of a laboratory for tests, and what must hold of one whatever happened to it."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3

from poliqi.lab.store.records import Dataset
from poliqi.lab.store.settings import Limits
from poliqi.lab.store.tenant import TenantStore

ROOM = Limits(free_bytes=0)


def quick_folder() -> tempfile.TemporaryDirectory[str]:
    """For many small stores: in memory where that can be, so that no test waits for a disk."""
    memory = Path("/dev/shm")
    return tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None)


def new_store(folder: Path, limits: Limits = ROOM, vfs: str | None = None) -> TenantStore:
    """An empty one; also one that stands."""
    return TenantStore(folder, "lab", limits, create=True, vfs=vfs)


def written(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Files by their paths below `folder`."""
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def blobs_on_disk(folder: Path) -> set[str]:
    return {place.parent.name + place.name for place in (folder / "blobs").glob("*/*")}


def blobs_in_catalogue(folder: Path) -> set[str]:
    with sqlite3.connect(folder / "catalogue.sqlite") as database:
        found = {name for (name,) in database.execute("SELECT hash FROM blob")}
    database.close()
    return found


def check_whole(folder: Path) -> list[Dataset]:
    """Every dataset of a store that was just opened: nothing is half there, nothing is left over."""
    with new_store(folder) as store:
        assert list((folder / "staging").iterdir()) == []
        assert blobs_on_disk(folder) == blobs_in_catalogue(folder)
        assert store.catalogue_problems() == []
        datasets = [store.dataset(one.id) for one in store.find(limit=-1)]
        for dataset in datasets:
            assert store.verify(dataset.id) == ()
            for file in dataset.files:
                data = store.file_path(file).read_bytes()
                assert blake3(data).hexdigest() == file.blake3
            if dataset.made_by is not None:
                assert store.job(dataset.made_by).output == dataset.id
        return datasets
