"""From detector frames to a cell: simulated frames, curves, sizes, a lattice, a store, a build sheet, designs."""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import powder_patterns
import pytest
from click.testing import CliRunner
from saxs_truth import schulz_intensity, volume_mean_diameter

from poliqi.base.errors import PoliqiError
from poliqi.lab.echem.design import tradeoff
from poliqi.lab.store.records import Kind
from poliqi.lab.store.store import LabStore
from poliqi.lab.xray.geometry import Geometry, save_geometry
from poliqi.ops.cli import cli
from poliqi.ops.prototype_examples import EXAMPLES

SHAPE, PIXEL_M = (360, 360), 172e-6
RADIUS_NM, SPREAD = 50.0, 0.15
LATTICE_A = 8.2476
"""Of the spinel LiMn2O4; eight formula units in its cell."""
DENSITY_KG_M3 = 8 * (6.94 + 2 * 54.938 + 4 * 15.999) * 1e-3 / (6.02214076e23 * (LATTICE_A * 1e-10) ** 3)
WAVELENGTH_A = 0.7


def poliqi(*words: object) -> dict[str, Any]:
    done = CliRunner().invoke(cli, [str(word) for word in (*words, "--json")])
    if isinstance(done.exception, PoliqiError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def from_beam(at_px: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    y, x = np.indices(SHAPE) + 0.5
    return np.hypot(x - at_px, y - at_px) * PIXEL_M


def setup(path: Path, distance_m: float, at_px: float, wavelength_a: float) -> None:
    at_m = at_px * PIXEL_M
    place = Geometry(distance_m, at_m, at_m, wavelength_a * 1e-10, pixel1_m=PIXEL_M, pixel2_m=PIXEL_M, shape=SHAPE)
    save_geometry(place, path)


def small_angle_frame(folder: Path, draw: np.random.Generator) -> None:
    """Counts of spheres with Schulz's distribution of radii, 8 m away."""
    setup(folder / "saxs.poni", 8.0, 180, 1.0)
    r = from_beam(180)
    q = 4 * np.pi / 0.1 * np.sin(np.arctan(r / 8.0) / 2)
    grid = np.linspace(q.min(), q.max(), 1500)
    intensity = schulz_intensity(grid, RADIUS_NM, SPREAD)
    masked = r < 10 * PIXEL_M
    counts = draw.poisson(np.where(masked, 0, 5000 * np.interp(q, grid, intensity / intensity.max())))
    np.save(folder / "saxs.npy", counts.astype(np.int32))
    np.save(folder / "saxs-mask.npy", masked)


def rings_frame(folder: Path, draw: np.random.Generator) -> Path:
    """Counts of the rings of a cubic powder, 8 cm away; the CIF that goes with it has another lattice parameter."""
    setup(folder / "xrd.poni", 0.08, 10, WAVELENGTH_A)
    two_theta = np.degrees(np.arctan(from_beam(10) / 0.08))
    axis = np.arange(1, 48, 0.01)
    width = powder_patterns.Broadening(lambda _: 0.06, lambda _: 0.02)
    lines = powder_patterns.ideal(axis, LATTICE_A, {0: 1.0}, "D", width, ((WAVELENGTH_A, 1.0),))
    masked = (two_theta < 4) | (two_theta > 45)
    expected = np.interp(two_theta, axis, lines / lines.max() * 4000 + 30)
    np.save(folder / "xrd.npy", draw.poisson(np.where(masked, 0, expected)).astype(np.int32))
    np.save(folder / "xrd-mask.npy", masked)
    sites = "Li Li 0 0 0 1 0.01\nMn Mn 0.625 0.625 0.625 1 0.005\nO O 0.387 0.387 0.387 1 0.008"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(powder_patterns.STRUCTURES, "LiMn2O4", (8.23, "F d -3 m:1", sites))  # type: ignore[arg-type]
        return powder_patterns.write_cif(folder, "LiMn2O4")


def coin_of_spinel(folder: Path) -> Path:
    text = EXAMPLES["coin"].replace('phase = "NMC811"\nformula_units = 3', "formula_units = 8")
    for old, new in (
        ("LiNi0.8Mn0.1Co0.1O2", "LiMn2O4"),
        ("NMC811", "LMO"),
        ('density = "4.78(2) g/cm3"\n', ""),
        ("195(2)", "115(1)"),
        ("220(2)", "120(1)"),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "coin.toml").write_text(text)
    return folder / "coin.toml"


@pytest.mark.slow
def test_from_frames_to_a_build_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(9)
    LabStore.create(tmp_path / "lab", "Politecnico di Milano")
    store = ("--store", "lab")
    small_angle_frame(tmp_path, draw)
    cif = rings_frame(tmp_path, draw)
    reduce = ("lab", "xray", "reduce")
    poliqi(
        *reduce, "saxs.npy", "--geometry", "saxs.poni", "--mask", "saxs-mask.npy", "-o", "saxs.h5", "--simulated",
        *store,
    )  # fmt: skip
    sizes = poliqi("lab", "xray", "saxs", "saxs.h5", "--sizes", *store)["dataset"]
    poliqi(
        *reduce, "xrd.npy", "--geometry", "xrd.poni", "--mask", "xrd-mask.npy", "--unit", "2theta", "--bins", 1200,
        "-o", "xrd.h5", "--simulated", *store,
    )  # fmt: skip
    lattice = poliqi(
        "lab", "xray", "xrd", "refine", "xrd.h5", "--wavelength", f"{WAVELENGTH_A}A", "--geometry",
        "debye-scherrer", "--lebail", "--range", 6, 26, "--cif", cif, *store,
    )["dataset"]  # fmt: skip
    made = poliqi(
        "lab", "echem", "prototype", "coin", coin_of_spinel(tmp_path), *store, "--dataset", f"positive={sizes}",
        "--dataset", f"positive={lattice}", "-o", "sheet.toml",
    )  # fmt: skip

    sheet = tomllib.loads(Path("sheet.toml").read_text(encoding="utf-8"))
    density = float(sheet["material"]["LMO"]["density"].partition(" ")[0])
    assert density == pytest.approx(DENSITY_KG_M3, rel=5e-4)
    diameter = float(sheet["positive"]["particle_diameter"].partition(" ")[0])
    assert diameter == pytest.approx(volume_mean_diameter(RADIUS_NM, SPREAD), rel=0.01)
    assert made["simulated"] is sheet["simulated"] is True
    assert made["results"]["positive porosity"]["moved_by_one_sigma_of"]["material.LMO.density"] > 0
    negative = 1.12 * 12e-3 * 0.96 * 115 / 350
    capacity = (12e-3 * 0.96 * 120 - negative * 28) * math.pi / 4 * 1.5**2
    assert made["results"]["capacity"]["value"] == pytest.approx(capacity)

    with LabStore.open(tmp_path / "lab").tenant() as part:
        past = {one.title: one.kind for one in part.provenance(made["dataset"]).datasets}
    assert {title for title, kind in past.items() if kind is Kind.SIMULATED} == {
        "Build sheet: LMO against graphite, CR2032",
        "Small-angle evaluation of saxs.npy",
        "Refine: xrd.h5",
        "saxs.npy",
        "xrd.npy",
        "Frames: saxs.npy",
        "Frames: xrd.npy",
    }
    assert {"Prototype: coin.toml", "Geometry: saxs.poni", "Geometry: xrd.poni"} <= set(past)

    monkeypatch.setattr(tradeoff, "check_of", lambda _: [])  # the full model is no part of the chain
    designs = poliqi(
        "lab", "echem", "design", "--parameters", "Chen2020", "--vary", "positive_thickness_um=75.6", "--rates",
        "0.5", "--model", "SPM", *store, "--dataset", sizes, "--electrode", "positive",
    )  # fmt: skip
    assert designs["simulated"] is True
    assert designs["designs"][0]["values"]["positive_radius_um"] == pytest.approx(diameter / 2e3)
    with LabStore.open(tmp_path / "lab").tenant() as part:
        past = {one.title: one.kind for one in part.provenance(designs["dataset"]).datasets}
    assert past["Frames: saxs.npy"] is Kind.SIMULATED
