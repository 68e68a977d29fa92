"""The command: frames to a curve, live on a folder that another process fills, and real frames of an instrument."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from real_mouse import mouse_frames
from xray_frames import counts, mask, straight, write_eiger

from poliqi.base.errors import ConfigError, DataRefused, PoliqiError
from poliqi.lab.store.store import LabStore
from poliqi.lab.xray.geometry import Geometry, save_geometry
from poliqi.lab.xray.nxcansas import read_curves
from poliqi.lab.xray.stack import StackRun
from poliqi.ops.cli import cli

FRAMES = [counts(4, seed) for seed in range(6)]


def poliqi(*words: object) -> str:
    """Run the command in this process; what it prints."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if isinstance(done.exception, PoliqiError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture
def reduce(tmp_path: Path) -> list[object]:
    """The command with a geometry and a mask; frames stand in run_master.h5."""
    write_eiger(tmp_path, FRAMES)
    save_geometry(straight(), tmp_path / "setup.poni")
    np.save(tmp_path / "mask.npy", mask(1))
    return ["lab", "xray", "reduce", "--geometry", tmp_path / "setup.poni", "--mask", tmp_path / "mask.npy"]


def test_frames_to_a_curve_that_pyfai_gives_too(tmp_path: Path, reduce: list[object]) -> None:
    told = json.loads(
        poliqi(
            *reduce, tmp_path / "run_master.h5", "--bins", 50, "-o", tmp_path / "c.h5", "--json",
            "--plot", tmp_path / "c.svg", "--per-frame", tmp_path / "f.h5",
        )
    )  # fmt: skip
    curve = read_curves(tmp_path / "c.h5")[0]
    theirs: Any = (
        straight()
        .integrator()
        .integrate1d(np.mean(FRAMES, axis=0), 50, method=("no", "csr", "cython"), mask=mask(1), unit="q_nm^-1")
    )
    filled = np.asarray(theirs.count) > 0
    assert curve.x == pytest.approx(theirs.radial[filled])
    assert curve.intensity == pytest.approx(theirs.intensity[filled], rel=1e-6)
    assert (told["frames"], told["points"]) == (6, int(filled.sum()))
    assert "<svg" in (tmp_path / "c.svg").read_text()
    assert {p.name for p in tmp_path.iterdir() if "reducing" in p.name} == set()
    with h5py.File(tmp_path / "f.h5") as file:
        assert file["sasentry01/sasdata/I"].shape == (6, 50)


def test_refusals_are_one_line(tmp_path: Path, reduce: list[object]) -> None:
    frames, out = tmp_path / "run_master.h5", tmp_path / "c.h5"
    bare = reduce[:-2]
    with pytest.raises(DataRefused, match="no mask"):
        poliqi(*bare, frames, "-o", out)
    poliqi(*bare, frames, "-o", out, "--mask", "none")
    with pytest.raises(ConfigError, match="exists already"):
        poliqi(*reduce, frames, "-o", out)
    with pytest.raises(ConfigError, match="which frames"):
        poliqi(*reduce, "-o", out)
    with pytest.raises(ConfigError, match="give one of them"):
        poliqi(*reduce, frames, "-o", out, "--force", "--energy", 8, "--wavelength", 1.2)
    with pytest.raises(ConfigError, match="--cluster"):
        poliqi(*reduce, frames, "-o", out, "--force", "--cluster", "many")
    assert CliRunner().invoke(cli, ["lab", "xray", "reduce", "--unit", "furlongs"]).exit_code == 2


def test_the_store_finds_the_frames_that_it_holds(tmp_path: Path, reduce: list[object]) -> None:
    np.save(tmp_path / "frames.npy", np.stack(FRAMES))
    with LabStore.create(tmp_path / "lab", "Politecnico di Milano").tenant() as part:
        frames = part.register([tmp_path / "frames.npy"], title="frames")
    words = [*reduce, tmp_path / "frames.npy", "-o", tmp_path / "c.h5", "--store", tmp_path / "lab", "--json"]
    made = json.loads(poliqi(*words))["dataset"]
    with LabStore.open(tmp_path / "lab").tenant() as part:
        assert [found.id for found in part.derived(frames.id)] == [made]


def test_the_curve_goes_into_the_store_once(tmp_path: Path, reduce: list[object]) -> None:
    LabStore.create(tmp_path / "lab", "Politecnico di Milano")
    words = [*reduce, tmp_path / "run_master.h5", "-o", tmp_path / "c.h5", "--store", tmp_path / "lab", "--json"]
    first = json.loads(poliqi(*words, "--simulated"))
    again = json.loads(poliqi(*words, "--simulated", "--force"))
    other = json.loads(poliqi(*words, "--simulated", "--force", "--splitting", "bbox"))
    assert first["dataset"] == again["dataset"] != other["dataset"]
    with LabStore.open(tmp_path / "lab").tenant() as part:
        made = part.dataset(first["dataset"])
        assert made.is_simulated
        assert {file.path for file in made.files} == {"c.h5", "curve.svg"}


@pytest.mark.parametrize("unit", ["1/nm", "2theta"])
def test_a_curve_that_the_store_has_is_not_reduced_again(
    tmp_path: Path, reduce: list[object], monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    LabStore.create(tmp_path / "lab", "Politecnico di Milano")
    words = [*reduce, tmp_path / "run_master.h5", "--unit", unit, "--store", tmp_path / "lab", "--json"]
    first = json.loads(poliqi(*words, "-o", tmp_path / "c.h5"))
    monkeypatch.setattr(StackRun, "run", lambda *_, **__: pytest.fail("it was reduced again"))
    again = json.loads(poliqi(*words, "-o", tmp_path / "d.h5", "--plot", tmp_path / "d.svg"))
    assert (again["dataset"], again["was_there"], again["frames"]) == (first["dataset"], True, 6)
    assert {name: again[name] for name in ("points", "axis", "from", "to", "simulated")} == {
        name: first[name] for name in ("points", "axis", "from", "to", "simulated")
    }
    assert "<svg" in (tmp_path / "d.svg").read_text()


def titles(root: Path) -> dict[str, tuple[str, set[str]]]:
    with LabStore.open(root).tenant() as part:
        found = [part.dataset(brief.id) for brief in part.find()]
    return {one.title: (one.kind.value, {file.path for file in one.files}) for one in found}


def test_what_was_read_goes_into_the_store_beside_the_curve(tmp_path: Path, reduce: list[object]) -> None:
    LabStore.create(tmp_path / "lab", "Politecnico di Milano")
    words = [*reduce, tmp_path / "run_master.h5", "-o", tmp_path / "c.h5", "--store", tmp_path / "lab", "--json"]
    made = json.loads(poliqi(*words))["dataset"]
    held = titles(tmp_path / "lab")
    frames = next(kind for title, kind in held.items() if title.startswith("Frames: run_master.h5"))
    data = {path.name for path in tmp_path.glob("run_data_*.h5")}
    assert data
    assert frames == ("measured", {"run_master.h5", *data})
    with LabStore.open(tmp_path / "lab").tenant() as part:
        known = {one.title for one in part.provenance(made).datasets}
    assert known == held.keys()
    assert len(known) == 4


def test_frames_can_be_left_where_they_are(tmp_path: Path, reduce: list[object]) -> None:
    LabStore.create(tmp_path / "lab", "Politecnico di Milano")
    words = [*reduce, tmp_path / "run_master.h5", "-o", tmp_path / "c.h5", "--store", tmp_path / "lab"]
    poliqi(*words, "--leave-frames")
    assert titles(tmp_path / "lab") == {"run_master.h5": ("derived", {"c.h5", "curve.svg"})}


def test_frames_of_one_name_in_two_folders_are_taken_in(tmp_path: Path, reduce: list[object]) -> None:
    LabStore.create(tmp_path / "lab", "Politecnico di Milano")
    paths = [tmp_path / folder / "a.h5" for folder in ("one", "two")]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        with h5py.File(path, "w") as file:
            file["data"] = FRAMES[number]
            file.attrs["simulated"] = True
    poliqi(*reduce, *paths, "-o", tmp_path / "c.h5", "--store", tmp_path / "lab")
    with LabStore.open(tmp_path / "lab").tenant() as part:
        frames = [one.kind.value for one in part.find() if one.title.startswith("Frames")]
    assert frames == ["simulated", "simulated"]  # as the files themselves say


WRITER = """
import sys, time
from pathlib import Path
import h5py, numpy as np
folder, count = Path(sys.argv[1]), int(sys.argv[2])
for number in range(count):
    frame = np.full((150, 170), number + 1, np.uint32)
    with h5py.File(folder / f"{number}.h5", "w") as file:  # held open, a part at a time
        data = file.create_dataset("entry/data", (2, 150, 170), np.uint32, chunks=(1, 150, 170))
        for k in range(2):
            data[k] = frame
            file.flush()
            time.sleep(0.05)
"""


@pytest.mark.slow
def test_live_on_a_folder_that_another_process_fills(tmp_path: Path, reduce: list[object]) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    words = [str(word) for word in [*reduce, "--live", folder, "-o", out, "--bins", 20]]
    code = "from poliqi.ops.cli import main; main()"
    live = subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        subprocess.run([sys.executable, "-c", WRITER, str(folder), "3"], check=True, timeout=60)
        assert live.stdout is not None
        said = [live.stdout.readline() for _ in range(3)]
        live.send_signal(signal.SIGINT)
        _, complaints = live.communicate(timeout=30)
    finally:
        live.kill()
        live.wait()
    assert live.returncode == 0, complaints
    assert "stopped; the average so far" in complaints
    assert said == ["0.h5: 2 frames\n", "1.h5: 2 frames\n", "2.h5: 2 frames\n"]
    for number in range(3):
        curve = read_curves(out / f"{number}.curve.h5")[0]
        assert curve.intensity[0] == pytest.approx(number + 1, rel=0.01)
    assert read_curves(out / "average.h5")[0].intensity[0] == pytest.approx(2.0, rel=0.01)
    assert not [p.name for p in out.iterdir() if p.name.startswith(".")]
    again = poliqi(*words, "--idle", "0.1")
    assert again == ""


@pytest.mark.slow
def test_real_frames_of_the_mouse_give_its_own_processed_curve(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Raw Eiger 1M frames of glassy carbon (NIST SRM 3600): I(q) on absolute scale as its own pipeline made it.

    Theirs: DAWN, mean of five positions, 800 logarithmic bins, no pixel splitting. Applied here are the factors
    that the file records, none fitted: count time, dark rate, transmission, flux, thickness, solid angle. Not
    applied here: subtraction of the empty beam (its frames are not in the file) and self-absorption.
    """
    pytest.importorskip("pip", reason="pip is not installed, and downloads the frames")
    path = mouse_frames(Path(request.config.cache.mkdir("real-frames")), tmp_path)  # pyright: ignore[reportOptionalMemberAccess]
    with h5py.File(path) as file:
        detector, sample = file["entry1/instrument/detector00"], file["entry1/sample"]
        distance_m = float(detector["transformations/det_x"][0, 0]) * 1e-3
        pixel_m = float(detector["x_pixel_size"][0, 0])
        place = Geometry(
            distance_m,
            float(detector["beam_center_y"][0, 0]),
            float(detector["beam_center_x"][0, 0]),
            1.5419e-10,
            pixel1_m=7.5e-5,
            pixel2_m=7.5e-5,
        )
        divisor = np.mean(sample["transmission"][()]) * np.mean(sample["beam/flux"][()])
        divisor *= np.mean(sample["thickness"][()]) * (pixel_m / distance_m) ** 2
        left_out = (file["processed/auxiliary/4-Internally Save Mask/[/data"][:, 0] == 0).any(axis=0)
        theirs_q, theirs = file["processed/result/q"][()], file["processed/result/data"][0, 0]
    save_geometry(place, tmp_path / "mouse.poni")
    np.save(tmp_path / "mask.npy", left_out)
    told = json.loads(
        poliqi(
            "lab", "xray", "reduce", path, "--geometry", tmp_path / "mouse.poni", "--mask", tmp_path / "mask.npy",
            "--bins", 400, "--per-second", "-o", tmp_path / "c.h5", "--json",
        )
    )  # fmt: skip
    assert told["frames"] == 10
    curve = read_curves(tmp_path / "c.h5")[0]
    ours = np.interp(theirs_q, curve.x, (curve.intensity - 1.429e-5) / divisor)
    ratio = (theirs / ours)[(theirs_q > 0.5) & (theirs_q < 8.0)]
    assert ratio.size > 250
    assert np.median(ratio) == pytest.approx(1.0, abs=0.005)
    assert np.percentile(np.abs(ratio / np.median(ratio) - 1), 90) < 0.01
