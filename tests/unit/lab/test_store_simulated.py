"""What a store knows to be simulated stays so, whichever way it comes in again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from poliqi.lab.store.crate.build import build
from poliqi.lab.store.crate.take import import_crate, new_import
from poliqi.lab.store.crate.write import write_folder
from poliqi.lab.store.records import ActionKind, Dataset, Kind, NewAction, Task
from poliqi.lab.store.store import LabStore
from poliqi.lab.store.tenant import TenantStore


def _work(folder: Path) -> None:
    (folder / "curve.dat").write_text("42\n")


def _untold(*_: int) -> None:
    pass


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TenantStore]:
    with LabStore.create(tmp_path / "lab", "Acme").tenant() as made:
        yield made


@pytest.fixture
def derived(store: TenantStore, tmp_path: Path) -> Dataset:
    """The curve that a job made of simulated frames."""
    (tmp_path / "frames.dat").write_text("1 2 3\n")
    frames = store.register([tmp_path / "frames.dat"], title="Frames", kind=Kind.SIMULATED)
    task = Task("reduce", "1", {}, (frames.id,), title="Curve")
    return store.run(task, _work)[0]


def test_what_was_copied_out_and_comes_in_as_measured_is_the_same_dataset(
    store: TenantStore, derived: Dataset, tmp_path: Path
) -> None:
    store.copy_out(derived.id, tmp_path / "out")
    again = store.register([tmp_path / "out"], title="Mine", kind=Kind.MEASURED, once=True)
    assert again == derived


def test_one_simulated_file_makes_the_dataset_simulated(
    store: TenantStore, derived: Dataset, tmp_path: Path
) -> None:
    store.copy_out(derived.id, tmp_path / "out")
    (tmp_path / "out" / "more.dat").write_text("measured, as somebody says")
    assert store.register([tmp_path / "out"], title="Both", kind=Kind.MEASURED).is_simulated
    (tmp_path / "other").write_text("another")
    assert store.register([tmp_path / "other"], title="Another").kind is Kind.MEASURED


def test_an_empty_file_says_nothing(store: TenantStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "a").write_text("a")
    store.register([tmp_path / "empty"], title="Calculated", kind=Kind.SIMULATED)
    assert not store.register([tmp_path / "empty", tmp_path / "a"], title="Measured").is_simulated
    assert store.holding(tmp_path / "a") is not None


def test_of_the_datasets_that_hold_a_file_the_simulated_one_is_its_source(
    store: TenantStore, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    store.register([tmp_path / "a"], title="Forgotten to say so")
    told = store.register([tmp_path / "a"], title="Said later", kind=Kind.SIMULATED)
    store.register([tmp_path / "a"], title="Again", kind=Kind.SIMULATED)
    assert store.holding(tmp_path / "a") == told


def test_a_crate_that_lost_the_word_brings_nothing_measured(
    store: TenantStore, derived: Dataset, tmp_path: Path
) -> None:
    write_folder(store, build(store, derived.id), tmp_path / "crate", _untold)
    metadata = tmp_path / "crate" / "ro-crate-metadata.json"
    document = json.loads(metadata.read_text())
    root = next(one for one in document["@graph"] if one["@id"] == "./")
    assert root.pop("additionalProperty")
    root["description"] = "measured"
    metadata.write_text(json.dumps(document))
    assert import_crate(store, tmp_path / "crate", new_import(time.time())).dataset.is_simulated


@pytest.mark.parametrize("word", ["sample", "instrument", "licence"])
def test_a_job_for_another_is_another_job(store: TenantStore, tmp_path: Path, word: str) -> None:
    (tmp_path / "a").write_text("a")
    source = store.register([tmp_path / "a"], title="Frames")
    about: list[Any] = {
        "sample": [store.add_sample(name).id for name in "AB"],
        "instrument": [store.add_instrument(name).id for name in "AB"],
        "licence": ["CC0-1.0", "CC-BY-4.0"],
    }[word]
    made = [store.run(Task("fit", "1", {}, (source.id,), **{word: one}), _work) for one in (*about, *about)]
    assert [getattr(dataset, word) for dataset, _ in made] == [*about, *about]
    assert [was_there for _, was_there in made] == [False, False, True, True]


def _from_outside(store: TenantStore, path: Path, kind: ActionKind = ActionKind.RECEIVED) -> Dataset:
    """What a peer sent and called simulated."""
    action = NewAction(kind, path.name, 1.0, 2.0)
    return store.register([path], title="A peer's", kind=Kind.SIMULATED, action=action)


@pytest.mark.parametrize("kind", [ActionKind.RECEIVED, ActionKind.IMPORTED])
def test_no_sender_makes_what_stood_here_before_simulated(
    store: TenantStore, tmp_path: Path, kind: ActionKind
) -> None:
    (tmp_path / "a").write_text("a")
    own = store.register([tmp_path / "a"], title="Own")
    assert _from_outside(store, tmp_path / "a", kind).is_simulated
    assert store.holding(tmp_path / "a") == own
    (tmp_path / "b").write_text("b")
    again = store.register([tmp_path / "a", tmp_path / "b"], title="Own again")
    assert again.kind is Kind.MEASURED
    assert store.made_simulated_by(again) is None
    assert store.register([tmp_path / "a"], title="Once", once=True) == own


def test_no_sender_makes_what_a_job_made_here_before_simulated(store: TenantStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    own = store.register([tmp_path / "a"], title="Own")
    curve, _ = store.run(Task("reduce", "1", {}, (own.id,)), _work)
    store.copy_out(curve.id, tmp_path / "out")
    _from_outside(store, tmp_path / "out" / "curve.dat")
    assert store.holding(tmp_path / "out" / "curve.dat") == curve
    assert store.register([tmp_path / "out"], title="Again").kind is Kind.MEASURED


def test_what_is_said_to_be_simulated_here_counts_beside_what_came(store: TenantStore, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    store.register([tmp_path / "a"], title="Forgotten to say so")
    _from_outside(store, tmp_path / "a")
    said = store.register([tmp_path / "a"], title="Said here", kind=Kind.SIMULATED)
    later = store.register([tmp_path / "a"], title="Later")
    assert later.is_simulated
    assert store.made_simulated_by(later) == said.brief
    assert store.made_simulated_by(said) is None
    assert store.holding(tmp_path / "a") == said


def test_what_came_first_from_outside_as_simulated_is_so_and_says_by_what(
    store: TenantStore, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    theirs = _from_outside(store, tmp_path / "a")
    own = store.register([tmp_path / "a"], title="Own")
    assert own.is_simulated
    assert store.made_simulated_by(own) == theirs.brief
    assert store.holding(tmp_path / "a") == theirs
