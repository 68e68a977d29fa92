"""`poliqi lab xray xrd`: what it prints, writes, stores and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from powder_patterns import INSTRUMENT, counted, ideal, with_size_and_strain, write_cif, write_xye

from poliqi.lab.store.findings import read_findings
from poliqi.lab.store.store import LabStore
from poliqi.ops.commands.lab_xray_xrd import command

X = np.arange(35, 105, 0.03)


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    expected = ideal(X, 3.52387, {0: 1.0}, "F", INSTRUMENT)
    return write_xye(tmp_path / "nickel.xye", X, counted(expected, 9_000, 60, np.random.default_rng(1)))


def test_peaks_as_json(sample: Path, tmp_path: Path) -> None:
    done = run("peaks", sample, "--wavelength", "CuKa", "--json", "--plot", tmp_path / "peaks.svg")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["is_simulated"] is True
    assert told["peaks"][0]["d_angstrom"]["value"] == pytest.approx(3.52387 / 3**0.5, abs=2e-4)
    assert "simulated data" in (tmp_path / "peaks.svg").read_text()


@pytest.mark.slow
def test_a_lattice_goes_to_a_file_and_into_a_store(sample: Path, tmp_path: Path) -> None:
    root = tmp_path / "lab"
    LabStore.create(root, "A laboratory")
    words = ["refine", sample, "--wavelength", "CuKa", "--cif", write_cif(tmp_path, "Ni"), "--lebail"]
    done = run(*words, "-o", tmp_path / "a.json", "--store", root, "--json")
    assert done.exit_code == 0, done.output
    finding = read_findings(tmp_path / "a.json").named("lattice_a@Ni")
    assert abs(finding.value - 3.52387) < 4 * (finding.sigma or 0)
    with LabStore.open(root).tenant("") as part:
        dataset = part.dataset(json.loads(done.stdout)["dataset"])
        assert {file.path for file in dataset.files} == {"result.json", "findings.json", "figure.svg"}
        assert dataset.is_simulated


def test_identify_lists_what_cannot_be_told_apart(tmp_path: Path) -> None:
    strengths = {3: 1.0, 4: 0.9, 8: 0.7, 11: 0.6, 12: 0.55, 16: 0.45}
    expected = ideal(X, 4.0786, strengths, "F", with_size_and_strain(2.5, 0))
    path = write_xye(tmp_path / "gold.xye", X, counted(expected, 4_000, 90, np.random.default_rng(2)))
    folder = tmp_path / "cifs"
    folder.mkdir()
    for name in ("Au", "Ag", "Ni"):
        write_cif(folder, name)
    done = run("identify", path, "--wavelength", "CuKa", "--cif", folder, "--plot", tmp_path / "sets.png")
    assert done.exit_code == 0, done.output
    assert "1 is one set: this pattern cannot tell its 2 structures apart" in done.output
    assert (tmp_path / "sets.png").read_bytes().startswith(b"\x89PNG")


def test_lines_of_a_structure(tmp_path: Path) -> None:
    done = run("calculate", write_cif(tmp_path, "LaB6"), "--json")
    assert done.exit_code == 0, done.output
    strongest = max(json.loads(done.stdout)[0]["reflections"], key=lambda row: row["intensity"])
    assert strongest["hkl"] == [1, 1, 0]
    assert strongest["two_theta_deg"] == pytest.approx(30.385, abs=1e-3)


def test_a_file_that_stands_is_not_replaced(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "there.json").write_text("mine")
    done = run("peaks", sample, "--wavelength", "CuKa", "-o", tmp_path / "there.json")
    assert done.exit_code != 0
    assert (tmp_path / "there.json").read_text() == "mine"


def test_each_subcommand_has_an_example() -> None:
    for name in ("calculate", "identify", "peaks", "refine", "size", "standard"):
        done = run(name, "--help")
        assert done.exit_code == 0
        assert f"poliqi lab xray xrd {name}" in done.output


def test_a_size_names_its_shape_factor(tmp_path: Path) -> None:
    """K = 0.9 is a choice: the number is useless without it."""
    expected = ideal(X, 3.52387, {0: 1.0}, "F", with_size_and_strain(8.0, 0.0))
    path = write_xye(tmp_path / "small.xye", X, counted(expected, 9_000, 60, np.random.default_rng(4)))
    profile = tmp_path / "instrument.json"
    # as powder_patterns.INSTRUMENT is
    widths = {"u": 0.0002, "v": 0.00166, "w": 0.00347, "x": 0.024, "y": 0, "axial_sl": 0, "axial_hl": 0}
    beam = {"radiation": "CuKa", "wavelengths_angstrom": [1.5405929, 1.5444274], "weights": [1, 0.5]}
    place = {"geometry": "bragg-brentano", "zero_shift_deg": 0, "range_deg": [21.4, 116]}
    profile.write_text(
        json.dumps(
            {**widths, **beam, **place, "standard": "LaB6", "rwp": 0.06, "format": "poliqi-xrd-instrument-1"}
        )
    )
    words = ["peaks", path, "--wavelength", "CuKa", "--instrument", profile]
    assert "nm or more (K = 0.9)" in run(*words).output
    told = json.loads(run(*words, "--json").stdout)
    assert told["peaks"][0]["scherrer_nm"]["shape_factor"] == 0.9


def test_a_monochromator_changes_what_is_calculated(tmp_path: Path) -> None:
    """Towards 90 degrees the beam that it polarises is weakened less."""
    words = ["calculate", write_cif(tmp_path, "LaB6"), "--json", "--range", 20, 95]
    bare, behind = (
        json.loads(run(*words, *more).stdout)[0]["reflections"] for more in ([], ["--monochromator", 40])
    )
    assert behind[-1]["intensity"] > 1.05 * bare[-1]["intensity"]
    assert run(*words, "--monochromator", "95").exit_code != 0
