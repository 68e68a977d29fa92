"""What decides a job of the X-ray tools: every file by its role, every parameter, and the programs that compute."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from click.testing import CliRunner
from powder_patterns import INSTRUMENT, counted, ideal, write_cif, write_xye
from xray_frames import counts, straight, write_eiger

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.store.records import Kind
from poliqi.lab.store.store import LabStore
from poliqi.lab.xray.geometry import save_geometry
from poliqi.ops import lab_filing
from poliqi.ops.cli import cli
from poliqi.ops.lab_filing import COMPUTING, Filing, Read, computing, with_linked

pytest.importorskip("h5py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    LabStore.create(tmp_path / "lab", "Acme")
    return tmp_path / "lab"


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _work(folder: Path) -> None:
    (folder / "o").write_text("1")


def put(root: Path, *reads: Read, **more: Any) -> str:
    parameters = more.pop("parameters", {})
    made = Filing(root, "", reads).put("tool", parameters, _work, title="T", **more)
    assert made is not None
    return made


def kinds(root: Path) -> dict[str, Kind]:
    with LabStore.open(root).tenant() as part:
        return {one.title: one.kind for one in part.find()}


def stored(*words: object) -> str:
    """The dataset that the tool answers with."""
    done = CliRunner().invoke(cli, ["lab", "xray", *map(str, words), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["dataset"]


def test_every_file_decides_by_its_role_and_content(root: Path, tmp_path: Path) -> None:
    a, b = written(tmp_path / "a", "a"), written(tmp_path / "b", "b")
    with LabStore.open(root).tenant() as part:
        part.register([a, b], title="Both")
    made = {
        put(root, Read("curve", (a,)), Read("mask", (b,))),
        put(root, Read("curve", (b,)), Read("mask", (a,))),
        put(root, Read("curve", (a,))),
        put(root, Read("curve", (b,))),
        put(root, Read("curve", (a,)), parameters={"unit": "1/nm"}),
    }
    assert len(made) == 5
    assert put(root, Read("curve", (a,)), Read("mask", (b,))) in made
    written(b, "changed")
    assert put(root, Read("curve", (a,)), Read("mask", (b,))) not in made


def test_another_release_of_what_computes_does_the_job_anew(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Read("curve", (written(tmp_path / "a", "a"),))
    first = put(root, read)
    for name in ("numpy", "poliqi code"):
        changed = Mock(return_value={**computing(), name: "another"})
        with monkeypatch.context() as patched:
            patched.setattr(lab_filing, "computing", changed)
            assert put(root, read) != first
    assert put(root, read) == first


def test_what_computes_is_all_of_the_extra() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    extra = tomllib.loads(text)["project"]["optional-dependencies"]["xray"]
    assert {line.partition(">=")[0] for line in extra} | {"numpy", "scipy", "numba", "poliqi"} <= set(COMPUTING)
    assert {*COMPUTING, "poliqi code"} >= computing().keys() >= {"numpy", "poliqi", "poliqi code"}


def test_only_what_is_said_to_be_simulated_is_held_as_such(root: Path, tmp_path: Path) -> None:
    """A mask that was used once for a simulation makes no measurement a simulation."""
    mask = Read("mask", (written(tmp_path / "m", "mask"),))
    put(root, Read("frames", (written(tmp_path / "s", "s"),), is_simulated=True), mask, simulated=True)
    assert kinds(root) == {"T": Kind.SIMULATED, "Frames: s": Kind.SIMULATED, "Mask: m": Kind.MEASURED}
    filing = Filing(root, "", [Read("frames", (written(tmp_path / "r", "r"),)), mask])
    assert not filing.is_simulated
    assert Filing(root, "", [mask, Read("frames", (tmp_path / "s",))]).is_simulated


def test_the_dataset_that_makes_results_simulated_is_told(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [written(tmp_path / name, name) for name in "abcd"]
    with LabStore.open(root).tenant() as part:
        made = [part.register([path], title=f"Of {path.name}", kind=Kind.SIMULATED) for path in paths]
    assert Filing(root, "", [Read("frames", tuple(paths))]).is_simulated
    said = capsys.readouterr().err
    assert [f"{one.id}, {one.title!r}" in said for one in made] == [True, True, True, False]
    assert "in 1 more" in said
    Filing(root, "", [Read("frames", (written(tmp_path / "r", "r"),))])
    assert capsys.readouterr().err == ""


def test_a_file_that_changes_during_the_work_is_refused(root: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "a", "a")
    filing = Filing(root, "", [Read("curve", (path,))])
    written(path, "b")
    with pytest.raises(DataRefused, match="changed"):
        filing.put("tool", {}, lambda _: None, title="T")
    assert not kinds(root)


@pytest.mark.parametrize("is_set_back", [False, True])
def test_a_change_is_refused_where_the_store_holds_what_was_there(
    root: Path, tmp_path: Path, *, is_set_back: bool
) -> None:
    path = written(tmp_path / "a", "a")
    put(root, Read("curve", (path,)))
    os.utime(path, (0, 0))
    filing = Filing(root, "", [Read("curve", (path,))])
    written(path, "b")
    if is_set_back:
        written(path, "a")
        os.utime(path, (0, 1))
    with pytest.raises(DataRefused, match="changed"):
        filing.put("tool", {"another": 1}, _work, title="Another")
    assert "Another" not in kinds(root)


def test_without_a_store_nothing_is_read() -> None:
    filing = Filing(None, "", [Read("curve", (Path("nowhere"),))])
    assert filing.put("tool", {}, lambda _: None, title="T") is None
    with pytest.raises(ConfigError, match="give --store"):
        Filing(None, "acme", [])


def test_many_files_are_told_as_one_hash(root: Path, tmp_path: Path) -> None:
    paths = tuple(written(tmp_path / f"{number}.dat", str(number)) for number in range(65))
    told = Filing(root, "", [Read("frames", paths)]).files["frames"]
    assert told["files"] == 65
    assert told != Filing(root, "", [Read("frames", paths[::-1])]).files["frames"]


def test_files_that_frames_are_kept_in_count_too(tmp_path: Path) -> None:
    write_eiger(tmp_path, [counts(4, 1)])
    master, *data = with_linked([tmp_path / "run_master.h5"])
    assert master.name == "run_master.h5"
    assert data
    assert all(path.parent == tmp_path.resolve() for path in data)


# each of the tools


@pytest.fixture
def curves(tmp_path: Path) -> Iterator[tuple[Path, Path, Path]]:
    q = np.linspace(0.05, 1.5, 60)
    texts = [
        "".join(f"{x:.5f} {s * np.exp(-((x * r) ** 2) / 3):.6f} {0.01 * s:.6f}\n" for x in q)
        for s, r in ((100, 2.0), (90, 3.0), (0.5, 0.1))
    ]
    a, b, c = (written(tmp_path / f"{name}.dat", text) for name, text in zip("abc", texts, strict=True))
    yield a, b, c


def test_saxs_knows_curves_units_and_roles_apart(root: Path, curves: tuple[Path, Path, Path]) -> None:
    a, b, c = curves
    with LabStore.open(root).tenant() as part:
        part.register([a, b, c], title="All in one")
    words = ["--guinier", "--store", root]
    jobs = [
        stored("saxs", a, "--unit", "1/nm", *words),
        stored("saxs", b, "--unit", "1/nm", *words),
        stored("saxs", a, "--unit", "1/A", *words),
        stored("saxs", a, "--unit", "1/nm", "--background", c, *words),
    ]
    assert len(set(jobs)) == len(jobs)
    assert stored("saxs", a, "--unit", "1/nm", *words) == jobs[0]


def test_saxs_says_what_the_store_knows(root: Path, curves: tuple[Path, Path, Path]) -> None:
    with LabStore.open(root).tenant() as part:
        part.register([curves[2]], title="Calculated", kind=Kind.SIMULATED)
    words = [curves[0], "--unit", "1/nm", "--background", curves[2], "--guinier", "--store", root]
    made = stored("saxs", *words)
    assert kinds(root)["Curve: a.dat"] is Kind.MEASURED
    with LabStore.open(root).tenant() as part:
        dataset = part.dataset(part.resolve(made))
        assert dataset.is_simulated
        report = next(file for file in dataset.files if file.path == "findings.json")
        assert json.loads(part.file_path(report).read_bytes())["simulated"] is True


@pytest.fixture
def pattern(tmp_path: Path) -> Path:
    x = np.arange(35, 60, 0.05)
    expected = ideal(x, 3.52387, {0: 1.0}, "F", INSTRUMENT)
    made = write_xye(tmp_path / "nickel.xye", x, counted(expected, 9_000, 60, np.random.default_rng(1)))
    made.write_text(made.read_text().replace("simulated", "told"))
    return made


def test_xrd_says_what_the_store_knows(root: Path, pattern: Path) -> None:
    words = ["xrd", "peaks", pattern, "--wavelength", "CuKa", "--store", root]
    first = stored(*words)
    assert set(kinds(root).values()) == {Kind.MEASURED, Kind.DERIVED}
    with LabStore.open(root).tenant() as part:
        part.register([pattern], title="Said later", kind=Kind.SIMULATED)
    second = stored(*words)
    assert second != first
    with LabStore.open(root).tenant() as part:
        dataset = part.dataset(part.resolve(second))
        assert dataset.is_simulated
        result = next(file for file in dataset.files if file.path == "result.json")
        assert json.loads(part.file_path(result).read_bytes())["is_simulated"] is True


def test_xrd_knows_structures_by_what_they_hold(root: Path, pattern: Path, tmp_path: Path) -> None:
    cif = write_cif(tmp_path, "Ni")
    words = ["xrd", "identify", pattern, "--wavelength", "CuKa", "--cif", cif, "--simulated", "--store", root]
    first = stored(*words)
    assert stored(*words) == first
    assert kinds(root)["Structure: Ni.cif"] is Kind.MEASURED
    cif.write_text(cif.read_text() + "# another\n")
    assert stored(*words) != first


def test_reduce_knows_the_files_that_hold_the_frames(root: Path, tmp_path: Path) -> None:
    write_eiger(tmp_path, [counts(4, 1), counts(4, 2)])
    save_geometry(straight(), tmp_path / "setup.poni")
    words = ["reduce", tmp_path / "run_master.h5", "--geometry", tmp_path / "setup.poni", "--mask", "none"]
    words += ["-o", tmp_path / "c.h5", "--force", "--bins", 30, "--store", root]
    first = stored(*words)
    assert stored(*words) == first
    master = (tmp_path / "run_master.h5").read_bytes()
    write_eiger(tmp_path, [counts(4, 3), counts(4, 4)])
    (tmp_path / "run_master.h5").write_bytes(master)
    assert stored(*words) != first


def test_reduce_says_what_the_store_knows(root: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", np.stack([counts(4, 1)]))
    save_geometry(straight(), tmp_path / "setup.poni")
    with LabStore.open(root).tenant() as part:
        part.register([tmp_path / "frames.npy"], title="Calculated", kind=Kind.SIMULATED)
    words = ["reduce", tmp_path / "frames.npy", "--geometry", tmp_path / "setup.poni", "--mask", "none"]
    words += ["-o", tmp_path / "c.h5", "--bins", 30, "--store", root, "--json"]
    done = CliRunner().invoke(cli, ["lab", "xray", *map(str, words)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["simulated"] is True
