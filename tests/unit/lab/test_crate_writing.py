"""Datasets as RO-Crates: what 1.1 says MUST be, read back by another implementation, from sample to figure."""

from __future__ import annotations

import json
import time
import warnings
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from blake3 import blake3
from rocrate.rocrate import ROCrate

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.store.crate.archive import write_archive
from poliqi.lab.store.crate.build import build
from poliqi.lab.store.crate.take import import_crate, new_import
from poliqi.lab.store.crate.write import link_crate, metadata_of, write_folder
from poliqi.lab.store.records import Dataset, Kind, Task
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore

CONTENT = {"frame 1.h5": b"x" * 1000, "sub dir/ü#%.txt": b"hello", "sub dir/empty": b""}


def untold(*_: int) -> None:
    """No progress."""


@pytest.fixture
def tenant(tmp_path: Path) -> TenantStore:
    return LabStore.create(tmp_path / "lab", "Politecnico di Milano").tenant()


def filled(source: Path) -> Path:
    for name, data in CONTENT.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    return source


def figure(tenant: TenantStore, tmp_path: Path, kind: Kind = Kind.MEASURED) -> Dataset:
    """A size figure of a curve of frames of a sample."""
    source = filled(tmp_path / "source")
    sample = tenant.add_sample("AgBh-3", "silver behenate", {"batch": "2026-11"})
    instrument = tenant.add_instrument("Xeuss", place="room 12")
    frames = tenant.register([source], title="Frames", kind=kind, sample=sample.id, instrument=instrument.id)
    task = Task("reduce", "1.2", {"bins": 100, "mask": ["a", 1]}, (frames.id,), title="Curve")
    curve, _ = tenant.run(task, lambda work: (work / "curve.dat").write_text("1 2 3") and None)
    task = Task(
        "saxs", "1.3", {"model": "sphere"}, (curve.id,), title="Sizes", licence="CC-BY-4.0", creator="A. R."
    )
    return tenant.run(task, lambda work: (work / "sizes.svg").write_text("<svg/>") and None)[0]


def plain(tenant: TenantStore, tmp_path: Path) -> Dataset:
    """Files with names that need care."""
    return tenant.register([filled(tmp_path / "source")], title="Frames")


def written(tenant: TenantStore, dataset: Dataset, folder: Path) -> dict[str, dict[str, Any]]:
    write_folder(tenant, build(tenant, dataset.id), folder, untold)
    document = json.loads((folder / "ro-crate-metadata.json").read_bytes())
    return {entity["@id"]: entity for entity in document["@graph"]}


def leaves(entity: dict[str, Any]) -> list[Any]:
    return [one for value in entity.values() for one in (value if isinstance(value, list) else [value])]


def test_a_crate_is_all_that_ro_crate_1_1_says_it_must_be(tenant: TenantStore, tmp_path: Path) -> None:
    folder = tmp_path / "crate"
    dataset = plain(tenant, tmp_path)
    entities = written(tenant, dataset, folder)
    document = json.loads((folder / "ro-crate-metadata.json").read_bytes())
    # the metadata file is in the root, is JSON-LD, flattened and compacted, by the context of 1.1
    assert "https://w3id.org/ro/crate/1.1/context" in document["@context"]
    assert len(entities) == len(document["@graph"])
    for entity in entities.values():
        assert isinstance(entity["@id"], str)
        assert entity["@type"]
        for one in leaves(entity):
            assert not isinstance(one, dict) or set(one) == {"@id"}
            assert not isinstance(one, list)
    # the descriptor
    descriptor = entities["ro-crate-metadata.json"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    # the root data entity
    root = entities["./"]
    assert root["@type"] == "Dataset"
    assert root["name"] and root["description"] and root["license"]
    assert datetime.fromisoformat(root["datePublished"]).timestamp() == pytest.approx(dataset.made_unix_s, abs=0.01)
    # data entities: linked from the root, relative URI paths, escaped, present below the root
    parts = {part["@id"] for part in root["hasPart"]}
    assert parts == {name for name, entity in entities.items() if entity["@type"] == "File"}
    assert {unquote(part) for part in parts} == set(CONTENT)
    assert "sub%20dir/%C3%BC%23%25.txt" in parts
    for part in parts:
        data = (folder / unquote(part)).read_bytes()
        assert entities[part]["contentSize"] == str(len(data))
        assert entities[part]["blake3"] == blake3(data).hexdigest()
    # actions end at a moment of ISO 8601, and have at least one object or result
    for entity in entities.values():
        if "CreateAction" in entity["@type"]:
            datetime.fromisoformat(entity["endTime"])
            assert "object" in entity or "result" in entity
    # recommended: whatever is referred to inside the crate is described in it
    for entity in entities.values():
        for one in leaves(entity):
            if isinstance(one, dict) and not one["@id"].startswith("http"):
                assert one["@id"] in entities


def test_rocrate_reads_it_without_a_warning(tenant: TenantStore, tmp_path: Path) -> None:
    dataset = figure(tenant, tmp_path)
    written(tenant, dataset, tmp_path / "crate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crate = ROCrate(tmp_path / "crate")
    assert crate.version == "1.1"
    assert crate.name == "Sizes"
    assert crate.root_dataset["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    assert crate.root_dataset["author"]["name"] == "A. R."
    assert [one.id for one in crate.data_entities] == ["sizes.svg"]


def test_the_way_from_sample_to_figure_is_in_it(tenant: TenantStore, tmp_path: Path) -> None:
    dataset = figure(tenant, tmp_path)
    written(tenant, dataset, tmp_path / "crate")
    crate = ROCrate(tmp_path / "crate")
    jobs = {one["instrument"]["name"]: one for one in crate.get_by_type("CreateAction")}
    assert set(jobs) == {"saxs", "reduce", "Xeuss"}
    assert jobs["saxs"]["result"].id == "./"
    curve, model = jobs["saxs"]["object"]
    assert (curve["name"], model["name"], model["value"]) == ("Curve", "model", "sphere")
    assert jobs["saxs"]["instrument"].type == "SoftwareApplication"
    assert jobs["saxs"]["instrument"]["softwareVersion"] == "1.3"
    assert jobs["reduce"]["result"] == curve
    frames, bins, mask = jobs["reduce"]["object"]
    assert (bins["value"], mask["value"]) == (100, '["a", 1]')
    assert jobs["Xeuss"]["result"] == frames
    sample = jobs["Xeuss"]["object"]
    assert sample["name"] == "AgBh-3"
    assert (sample["additionalProperty"]["name"], sample["additionalProperty"]["value"]) == ("batch", "2026-11")


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_what_is_written_is_read_back_the_same(tenant: TenantStore, tmp_path: Path, suffix: str) -> None:
    dataset = plain(tenant, tmp_path)
    target = tmp_path / f"crate{suffix}"
    (write_archive if suffix else write_folder)(tenant, build(tenant, dataset.id), target, untold)
    other = LabStore.create(tmp_path / "other", "Acme").tenant()
    taken = import_crate(other, target, new_import(time.time()))
    assert taken.dataset.files == dataset.files
    assert taken.dataset.title == dataset.title
    assert taken.dataset.kind is Kind.RECEIVED
    assert taken.dataset.id != dataset.id
    assert other.verify(taken.dataset.id) == ()


def test_what_is_simulated_stays_so(tenant: TenantStore, tmp_path: Path) -> None:
    dataset = figure(tenant, tmp_path, Kind.SIMULATED)
    entities = written(tenant, dataset, tmp_path / "crate")
    assert "SIMULATED" in entities["./"]["description"]
    other = LabStore.create(tmp_path / "other", "Acme").tenant()
    assert import_crate(other, tmp_path / "crate", new_import(0.0)).dataset.is_simulated


def test_the_past_that_a_crate_tells_is_told_on_under_other_names(tenant: TenantStore, tmp_path: Path) -> None:
    dataset = figure(tenant, tmp_path)
    written(tenant, dataset, tmp_path / "crate")
    taken = import_crate(tenant, tmp_path / "crate", new_import(time.time())).dataset
    entities = written(tenant, taken, tmp_path / "again")
    assert taken.made_by is None
    told = [name for name in entities if name.startswith("#told-0-job-")]
    assert {entities[name]["name"] for name in told if entities[name]["@type"] == "CreateAction"} == {
        "reduce",
        "saxs",
    }
    assert not any(name.startswith("#job-") for name in entities)
    assert next(e for e in entities.values() if e.get("name") == "saxs" and "result" in e)["result"] == {
        "@id": "./"
    }
    assert sum(entity.get("name") == "Taken in from a crate" for entity in entities.values()) == 1
    third = import_crate(tenant, tmp_path / "again", new_import(time.time())).dataset
    names = {entity.get("name") for entity in written(tenant, third, tmp_path / "third").values()}
    assert {"reduce", "saxs", "AgBh-3", "Xeuss"} <= names


def test_the_same_dataset_gives_the_same_metadata(tenant: TenantStore, tmp_path: Path) -> None:
    dataset = plain(tenant, tmp_path)
    assert metadata_of(build(tenant, dataset.id)) == metadata_of(build(tenant, dataset.id))


def test_what_is_only_to_be_sent_is_linked_and_not_copied(tenant: TenantStore, tmp_path: Path) -> None:
    dataset = plain(tenant, tmp_path)
    folder = tenant.folder / "outgoing" / "bovisa" / "dataset"
    for _ in range(2):  # what a stopped attempt left is replaced
        link_crate(tenant, build(tenant, dataset.id), folder)
    for file in dataset.files:
        assert (folder / file.path).samefile(tenant.file_path(file))


def test_a_folder_that_stands_is_not_written_over(tenant: TenantStore, tmp_path: Path) -> None:
    dataset = plain(tenant, tmp_path)
    (tmp_path / "crate").mkdir()
    (tmp_path / "crate.zip").touch()
    with pytest.raises(ConfigError, match="stands already"):
        write_folder(tenant, build(tenant, dataset.id), tmp_path / "crate", untold)
    with pytest.raises(ConfigError, match="exists already"):
        write_archive(tenant, build(tenant, dataset.id), tmp_path / "crate.zip", untold)


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_nothing_is_written_of_what_was_changed_in_the_store(
    tenant: TenantStore, tmp_path: Path, suffix: str
) -> None:
    dataset = plain(tenant, tmp_path)
    blob = tenant.file_path(dataset.files[0])
    blob.chmod(0o600)
    blob.write_bytes(bytes(1000))
    target = tmp_path / f"crate{suffix}"
    with pytest.raises(DataRefused, match="changed in the store"):
        (write_archive if suffix else write_folder)(tenant, build(tenant, dataset.id), target, untold)
    assert [path.name for path in tmp_path.iterdir() if "crate" in path.name] == []


def test_a_file_with_a_name_that_ro_crate_keeps_is_refused(tenant: TenantStore, tmp_path: Path) -> None:
    (tmp_path / "ro-crate-metadata.json").write_text("{}")
    dataset = tenant.register([tmp_path / "ro-crate-metadata.json"], title="odd")
    with pytest.raises(DataRefused, match="keeps for itself"):
        build(tenant, dataset.id)


def test_a_zip_can_be_listed_by_anybody(tenant: TenantStore, tmp_path: Path) -> None:
    dataset = plain(tenant, tmp_path)
    write_archive(tenant, build(tenant, dataset.id), tmp_path / "c.zip", untold)
    with zipfile.ZipFile(tmp_path / "c.zip") as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {*CONTENT, "ro-crate-metadata.json"}
