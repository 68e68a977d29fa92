"""`poliqi lab xray saxs` as somebody uses it: files in, a report out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from saxs_truth import noisy, radius_of_gyration, schulz_intensity, volume_mean_diameter

from poliqi.base.errors import PoliqiError
from poliqi.lab.store.findings import read_findings
from poliqi.lab.xray.binning import Splitting
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit, Step
from poliqi.lab.xray.nxcansas import read_curves, write_curve
from poliqi.lab.xray.standards import STANDARDS, Standard
from poliqi.ops.commands.lab_xray_saxs import command
from poliqi.ops.saxs_report import doubted

pytest.importorskip("h5py")

Q = np.geomspace(0.004, 0.3, 200)
CLEAN = schulz_intensity(Q, 50.0, 0.15)


@pytest.fixture
def curve(tmp_path: Path) -> Path:
    path = tmp_path / "curve.h5"
    write_curve(path, noisy(Q, CLEAN + 1e-3, 0.003 * np.sqrt(CLEAN) + 1e-5, 1))
    return path


def ran(*words: str | Path) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)


def test_without_options_everything_is_reported(curve: Path, tmp_path: Path) -> None:
    plot, findings = tmp_path / "a.svg", tmp_path / "a.json"
    result = ran(curve, "--plot", plot, "--findings", findings)
    assert result.exit_code == 0
    for word in ("Guinier (globular)", "Porod, q", "Sizes of spheres", "mean by volume", "simulated"):
        assert word in result.output
    assert "(simulated data)" in plot.read_text()
    found = read_findings(findings)
    assert found.simulated
    rg, mean = found.named("radius_of_gyration"), found.named("diameter_mean_volume")
    assert rg.sigma is not None
    assert mean.sigma is not None
    assert abs(rg.value - radius_of_gyration(50.0, 0.15)) < 4 * rg.sigma
    assert abs(mean.value - volume_mean_diameter(50.0, 0.15)) < 4 * mean.sigma
    assert (rg.unit, mean.unit) == ("A", "A")


def test_json_says_the_same(curve: Path) -> None:
    record = json.loads(ran(curve, "--json", "--guinier").output)
    assert {one["name"] for one in record["findings"]} == {"radius_of_gyration", "forward_intensity"}
    assert record["refused"] == {}
    assert record["simulated"] is True


def test_corrections_are_applied_recorded_and_written(tmp_path: Path) -> None:
    for name, values in (("sample", 0.5 * (CLEAN + 2.0)), ("solvent", 0.8 * 2.0 * np.ones_like(Q))):
        rows = zip(Q, values, 0.001 * np.ones_like(Q), strict=True)
        (tmp_path / f"{name}.dat").write_text("\n".join(f"{a:.9g} {b:.9g} {c}" for a, b, c in rows))
    out = tmp_path / "out.h5"
    result = ran(
        tmp_path / "sample.dat",
        *("--unit", "1/A", "--background", tmp_path / "solvent.dat", "--thickness", "1.0(1)"),
        *("--transmission", "0.50(2)", "--background-transmission", "0.8", "--scale", "3+-0.1", "-o", out),
    )
    assert result.exit_code == 0
    assert "doubts common to all points: transmission, thickness, absolute scale" in result.output
    (made,) = read_curves(out)
    assert made.intensity == pytest.approx(3 * CLEAN / 0.1, rel=1e-4, abs=1e-6)
    by_name = {step.name: step.settings for step in made.steps}
    assert by_name["transmission"]["transmission_sigma"] == pytest.approx(0.02)
    assert by_name["thickness"]["thickness_sigma_mm"] == pytest.approx(0.1)
    assert by_name["absolute scale"]["factor_sigma"] == pytest.approx(0.1)


def test_the_scale_comes_from_a_glassy_carbon(tmp_path: Path, curve: Path) -> None:
    carbon = STANDARDS[Standard.GLASSY_CARBON]
    q = np.geomspace(0.01, 0.2, 50)
    raw = np.interp(q, carbon.q_per_angstrom, carbon.per_cm) * 0.1055 * 0.75 * 40
    write_curve(tmp_path / "gc.h5", Curve(Axis.Q_PER_ANGSTROM, q, raw, 0.01 * raw))
    out = tmp_path / "out.h5"
    result = ran(
        curve,
        *("--transmission", "1", "--thickness", "1", "--standard-curve", tmp_path / "gc.h5"),
        *("--standard-transmission", "0.75", "--guinier", "-o", out),
    )
    assert result.exit_code == 0
    (made,) = read_curves(out)
    settings = made.steps[-1].settings
    assert settings["factor"] == pytest.approx(1 / 40, rel=1e-3)
    assert settings["factor_sigma"] == pytest.approx(0.0258 / 40, rel=0.01)
    assert made.intensity_unit.value == "1/cm"


def test_water_is_corrected_first_and_then_gives_the_scale(tmp_path: Path, curve: Path) -> None:
    q = np.geomspace(0.01, 0.3, 60)
    cell, water = np.full(60, 50.0), 0.01632 * 0.1 * 0.8 * 1e5 + 0.8 * 50.0
    write_curve(tmp_path / "cell.h5", Curve(Axis.Q_PER_ANGSTROM, q, cell, np.full(60, 0.1)))
    write_curve(tmp_path / "wet.h5", Curve(Axis.Q_PER_ANGSTROM, q, np.full(60, water), np.full(60, 0.1)))
    result = ran(
        tmp_path / "wet.h5",
        *("--transmission", "0.8", "--thickness", "1", "--background", tmp_path / "cell.h5"),
        *("--background-transmission", "1", "-o", tmp_path / "water.h5"),
    )
    assert result.exit_code == 0
    out = tmp_path / "out.h5"
    ran(
        curve,
        *("--transmission", "0.7", "--thickness", "1", "--standard", "water"),
        *("--standard-curve", tmp_path / "water.h5", "--guinier", "-o", out),
    )
    (made,) = read_curves(out)
    assert made.steps[-1].settings["factor"] == pytest.approx(1e-5, rel=1e-3)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--transmission", "0.7"), "give both, or neither"),
        (("--standard-transmission", "0.75"), "give both, or neither"),
        (("--standard", "water"), "give its --standard-thickness"),
    ],
)
def test_a_standard_is_corrected_like_the_sample(
    curve: Path, tmp_path: Path, words: tuple[str, ...], why: str
) -> None:
    q = np.geomspace(0.01, 0.2, 50)
    write_curve(tmp_path / "s.h5", Curve(Axis.Q_PER_ANGSTROM, q, 1 + q, 0.01 * q))
    with pytest.raises(PoliqiError, match=why):
        ran(curve, "--thickness", "1", "--standard-curve", tmp_path / "s.h5", *words)


def test_a_standard_in_another_unit_is_refused(curve: Path, tmp_path: Path) -> None:
    q = np.geomspace(0.01, 0.2, 50)
    rate = Curve(Axis.Q_PER_ANGSTROM, q, 1 + q, 0.01 * q, IntensityUnit.PER_SECOND)
    write_curve(tmp_path / "s.h5", rate)
    with pytest.raises(PoliqiError, match=r"standard .* is in counts/s, the curve in arbitrary"):
        ran(curve, "--thickness", "1", "--standard-curve", tmp_path / "s.h5")


def test_shared_pixels_are_told(curve: Path, tmp_path: Path) -> None:
    (one,) = read_curves(curve)
    step = Step("azimuthal integration", {"splitting": Splitting.BBOX.value})
    write_curve(tmp_path / "shared.h5", replace(one, steps=(step,)))
    assert "neighbouring points are correlated" in ran(tmp_path / "shared.h5", "--guinier").output
    assert "correlated" not in ran(curve, "--guinier").output


def test_what_is_assumed_stands_beside_the_numbers(curve: Path) -> None:
    result = ran(curve)
    assert "dilute spheres of one contrast in another phase, no smearing" in result.output
    assert "two phases of one contrast, sharp walls, dilute" in result.output


def test_a_model_is_fitted_with_what_is_held(curve: Path) -> None:
    pytest.importorskip("sasmodels")
    result = ran(curve, "--model", "sphere", "--set", "sld_solvent=9.4")
    assert "radius_pd" in result.output
    assert "9.4 1e-6/A^2 (held)" in result.output


def test_a_curve_without_sigma_is_said_to_have_an_estimated_one(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(size=200)
    rows = zip(Q, CLEAN * (1 + 0.01 * noise) + 1e-4, strict=True)
    (tmp_path / "two.dat").write_text("\n".join(f"{a} {b}" for a, b in rows))
    assert "estimated from the scatter" in ran(tmp_path / "two.dat", "--unit", "1/A", "--guinier").output


def test_what_was_not_asked_for_by_name_is_told_as_not_possible(tmp_path: Path) -> None:
    path = tmp_path / "high.h5"
    keep = Q > 0.03
    full = noisy(Q, CLEAN + 1e-3, 0.003 * np.sqrt(CLEAN) + 1e-5, 1)
    write_curve(path, replace(full, x=Q[keep], intensity=full.intensity[keep], sigma=full.sigma[keep]))
    result = ran(path)
    assert result.exit_code == 0
    assert "Guinier: not possible" in result.output
    with pytest.raises(PoliqiError, match="at least 10 are needed"):
        ran(path, "--guinier")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--unit", "furlong"), "q is in 1/nm or 1/A"),
        (("--entry", "2"), "holds 1 curves"),
        (("--set", "radius=5"), "name its --model"),
        (("--model", "sphere", "--set", "radius"), "give NAME=VALUE"),
        (("--plot", "a.pdf"), "ends in .png or .svg"),
        (("--d-range", "10", "5000"), "above pi"),
        (("--guinier-range", "0", "0.1"), "Guinier's law holds up to 1.3"),
        (("--q-range", "5", "6"), "has no point at q"),
        (("--background-transmission", "0.5"), "give the --background"),
        (("--scale", "2", "--standard-curve", "x.h5"), "give one of them"),
        (("--tenant", "a"), "give --store"),
        (("--contrast", "1e11", "--sizes"), "needs the intensity in 1/cm"),
    ],
)
def test_refusals_name_the_remedy(curve: Path, words: tuple[str, ...], why: str) -> None:
    with pytest.raises(PoliqiError, match=why):
        ran(curve, *words)


def test_a_number_that_is_none_is_refused_by_the_command_line(curve: Path) -> None:
    result = ran(curve, "--transmission", "70%")
    assert result.exit_code == 2
    assert "0.812(4)" in result.output


def test_nothing_is_written_over_and_nothing_is_left_behind(curve: Path, tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("mine")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(PoliqiError, match="exists already"):
        ran(curve, "--plot", tmp_path / "a.svg", "-o", tmp_path / "new.h5")
    assert sorted(tmp_path.iterdir()) == before


def test_into_the_store_once(curve: Path, tmp_path: Path) -> None:
    from poliqi.lab.store.store import LabStore

    root = tmp_path / "lab"
    LabStore.create(root, "Politecnico di Milano")
    first = json.loads(ran(curve, "--sizes", "--json", "--store", root).stdout)["dataset"]
    second = json.loads(ran(curve, "--sizes", "--json", "--store", root).stdout)["dataset"]
    assert first == second
    store = LabStore.open(root)
    with store.tenant("") as part:
        dataset = part.dataset(part.resolve(first))
        assert dataset.is_simulated
        assert {file.path for file in dataset.files} == {"findings.json", "report.svg"}  # nothing was corrected


@pytest.mark.parametrize(
    ("value", "sigma", "text"),
    [
        (49.9951, 0.0132, "49.995 +- 0.013"),
        (1234.5, 67.0, "1234 +- 67"),
        (0.01234, 0.00056, "0.01234 +- 0.00056"),
        (3.2e-12, 4.1e-13, "3.20e-12 +- 4.1e-13"),
        (12361.0, 678.0, "1.236e+04 +- 6.8e+02"),
        (2.5, None, "2.5"),
    ],
)
def test_numbers_are_told_to_the_second_digit_of_their_doubt(value: float, sigma: float | None, text: str) -> None:
    assert doubted(value, sigma) == text
