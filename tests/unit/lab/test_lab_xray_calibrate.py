"""`poliqi lab xray calibrate` as people run it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyFAI
import pytest
from calibration_scenes import frame_of, small_scene
from click.testing import CliRunner, Result
from PIL import Image

from poliqi.ops.cli import cli


@pytest.fixture(scope="module")
def frame(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts, valid = frame_of(small_scene())
    path = tmp_path_factory.mktemp("frames") / "lab6.npy"
    np.save(path, np.where(valid, counts, -1).astype(np.int32))
    return path


def run(frame: Path, output: Path, *more: str) -> Result:
    arguments = ["--calibrant", "LaB6", "--pixel-um", "172", "-o", str(output), *more]
    return CliRunner().invoke(cli, ["lab", "xray", "calibrate", str(frame), *arguments])


def test_a_poni_file_that_pyfai_reads_a_report_and_a_plot(frame: Path, tmp_path: Path) -> None:
    output, plot = tmp_path / "setup.poni", tmp_path / "rings.png"
    done = run(frame, output, "--wavelength-A", "0.7", "--plot", str(plot), "--simulated", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == json.loads(output.with_suffix(".json").read_text())
    assert told["is_simulated"] is True
    assert told["rings_matched"] >= 6
    assert (told["beam_x_px"], told["beam_y_px"]) == pytest.approx((161.3, 148.8), abs=0.05)
    beside = pyFAI.load(str(output)).getFit2D()
    assert beside["directDist"] == pytest.approx(60.0, rel=1e-4)
    assert "simulated" in output.read_text()
    with Image.open(plot) as drawn:
        assert min(drawn.size) > 400


def test_energy_and_wavelength_that_disagree_are_refused(frame: Path, tmp_path: Path) -> None:
    done = run(frame, tmp_path / "a.poni", "--wavelength-A", "0.7", "--energy-keV", "12")
    assert done.exit_code == 1
    assert "give one of them" in str(done.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "more", "said"),
    [
        ("a.txt", ("--wavelength-A", "0.7"), "ends in .poni"),
        ("a.poni", ("--wavelength-A", "0.7", "--plot", "a.gif"), ".png or .svg"),
        ("a.poni", ("--wavelength-A", "0.7", "--tenant", "x"), "give --store"),
        ("a.poni", (), "the wavelength is not known"),
        ("a.poni", ("--energy-keV", "nan"), "not a positive number"),
    ],
)
def test_options_that_make_no_sense(
    frame: Path, tmp_path: Path, output: str, more: tuple[str, ...], said: str
) -> None:
    done = run(frame, tmp_path / output, *more)
    assert done.exit_code == 1
    assert said in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_a_file_that_stands_is_kept(frame: Path, tmp_path: Path) -> None:
    output = tmp_path / "setup.poni"
    output.write_text("mine")
    done = run(frame, output, "--wavelength-A", "0.7")
    assert done.exit_code == 1
    assert "--force" in str(done.exception)
    assert output.read_text() == "mine"


def test_what_is_refused_leaves_nothing(frame: Path, tmp_path: Path) -> None:
    done = run(frame, tmp_path / "setup.poni", "--wavelength-A", "30")
    assert done.exit_code == 1
    assert "rings" in str(done.exception)
    assert not list(tmp_path.iterdir())


def test_into_the_store_with_its_frames(frame: Path, tmp_path: Path) -> None:
    from poliqi.lab.store.store import LabStore

    root = tmp_path / "lab"
    LabStore.create(root, "Lab")
    done = run(
        frame, tmp_path / "setup.poni", "--energy-keV", "17.712", "--store", str(root), "--simulated", "--json"
    )
    assert done.exit_code == 0, done.output
    with LabStore.open(root).tenant("") as part:
        found = [part.dataset(one.id) for one in part.find()]
    made = next(one for one in found if one.id == json.loads(done.stdout)["dataset"])
    assert {file.path for file in made.files} == {"setup.poni", "setup.json"}
    assert all(one.is_simulated for one in found)
    assert len(found) == 2


def test_another_calibrant_of_the_same_name_is_another_job(frame: Path, tmp_path: Path) -> None:
    from poliqi.lab.store.store import LabStore

    root, powder = tmp_path / "lab", tmp_path / "powder.D"
    LabStore.create(root, "Lab")
    lines = [f"{4.156826 / n**0.5:.6f}\n" for n in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14)]
    words = ["--calibrant", str(powder), "--energy-keV", "17.712", "--store", str(root), "--json", "--force"]
    made: list[str] = []
    for text in (lines, lines, [*lines, "1.05\n"]):
        powder.write_text("".join(text))
        done = run(frame, tmp_path / "setup.poni", *words)
        assert done.exit_code == 0, done.output
        made.append(json.loads(done.stdout)["dataset"])
    assert made[0] == made[1] != made[2]
