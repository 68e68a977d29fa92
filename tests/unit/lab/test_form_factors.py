"""Fits of sasmodels' form factors, against truths and against values that came with real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from saxs_truth import noisy, schulz_intensity

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.xray.curve import Axis, Common, Curve
from poliqi.lab.xray.curvefiles import read_curve_file
from poliqi.lab.xray.formfactors import fit_form
from poliqi.lab.xray.points import curve_of_points

pytest.importorskip("sasmodels")

Q = np.geomspace(0.004, 0.3, 120)


def spheres(seed: int) -> Curve:
    clean = schulz_intensity(Q, 50.0, 0.15)
    return noisy(Q, clean + 1e-3, 0.003 * np.sqrt(clean) + 1e-5, seed)


def wheel(name: str) -> Curve:
    import sasdata

    folder = Path(sasdata.__file__).parent / "example_data" / "1d_data"
    return read_curve_file(folder / name, unit=Axis.Q_PER_ANGSTROM)[0]


def test_radius_and_spread_of_schulz_spheres() -> None:
    found = fit_form(spheres(1))
    radius, spread = found.named("radius"), found.named("radius_pd")
    assert radius.sigma is not None
    assert spread.sigma is not None
    assert abs(radius.value - 50.0) < 4 * radius.sigma
    assert abs(spread.value - 0.15) < 4 * spread.sigma
    assert radius.sigma < 0.1
    assert found.named("background").value == pytest.approx(1e-3, rel=0.1)
    assert not found.undecided
    assert not found.inflated


def test_lengths_are_in_angstrom_whatever_the_unit_of_q() -> None:
    curve = spheres(2)
    per_nm = replace(curve, axis=Axis.Q_PER_NM, x=10 * curve.x)
    assert fit_form(per_nm).named("radius").value == pytest.approx(fit_form(curve).named("radius").value, rel=1e-3)


def test_sasview_s_own_polydisperse_spheres() -> None:
    """PolySpheres.txt of SasView: radius 60, Schulz 0.2."""
    found = fit_form(wheel("PolySpheres.txt"))
    assert found.named("radius").value == pytest.approx(60.0, abs=0.05)
    assert found.named("radius_pd").value == pytest.approx(0.2, abs=0.002)


def test_a_core_shell_file_with_resolution_gives_the_parameters_in_its_header() -> None:
    """x_coreshell_1.txt: radius 150, thickness 40, both alike: a sphere of 190, scale .01, background .001."""
    found = fit_form(wheel("x_coreshell_1.txt"), held={"sld": 4.0, "sld_solvent": 6.0}, polydisperse=False)
    assert found.named("radius").value == pytest.approx(190.0, abs=0.1)
    assert found.named("scale").value == pytest.approx(0.01, rel=0.002)
    assert found.named("background").value == pytest.approx(0.001, rel=0.02)


def test_a_real_latex_has_the_diameter_that_its_maker_states() -> None:
    """latex_smeared.xml of sasdata, by neutrons through pinholes: "latex particles 0.5micron diameter"."""
    import sasdata
    from sasdata.dataloader.loader import Loader

    folder = Path(sasdata.__file__).parent / "example_data" / "1d_data"
    latex = Loader().load(str(folder / "latex_smeared.xml"))[0]
    columns = (latex.x, latex.y, latex.dy, latex.dx)
    found = fit_form(curve_of_points(Path("latex.xml"), Axis.Q_PER_ANGSTROM, columns))
    assert 2 * found.named("radius").value == pytest.approx(5000, rel=0.01)
    assert not found.inflated


def test_what_the_data_cannot_decide_is_said() -> None:
    found = fit_form(spheres(3), vary=("sld",))
    assert set(found.undecided) == {"scale", "sld"}
    assert found.named("sld").sigma is None
    assert found.named("radius").sigma is not None
    assert any("the data do not decide scale, sld" in said for said in found.cautions)


def test_a_misfit_widens_sigma_and_says_so() -> None:
    found = fit_form(spheres(4), polydisperse=False)
    assert found.inflated
    assert any("widened" in said for said in found.cautions)


def test_a_common_scale_doubt_is_in_the_scale_alone() -> None:
    curve = spheres(5)
    doubted = replace(curve, common=(Common("absolute scale", 0.1 * curve.intensity),))
    before, after = fit_form(curve), fit_form(doubted)
    scale, radius = after.named("scale"), after.named("radius")
    assert scale.sigma == pytest.approx(0.1 * scale.value, rel=0.05)
    assert radius.sigma == pytest.approx(before.named("radius").sigma, rel=0.05)


def test_unknown_models_and_parameters_are_refused() -> None:
    for name in ("no_such_model", "../sphere", "os", ""):
        with pytest.raises(ConfigError, match="model of sasmodels"):
            fit_form(spheres(6), name)
    with pytest.raises(ConfigError, match=r"no parameter 'size'; it has scale, background"):
        fit_form(spheres(6), held={"size": 1.0})


def test_a_file_of_that_name_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w')")
    for name in ("evil", "evil.py", str(tmp_path / "evil.py")):
        with pytest.raises(ConfigError):
            fit_form(spheres(7), name)
    assert not (tmp_path / "ran").exists()


def test_an_angle_and_too_few_points_are_refused() -> None:
    with pytest.raises(DataRefused, match="2theta"):
        fit_form(replace(spheres(8), axis=Axis.TWO_THETA_DEG))
    few = spheres(8)
    with pytest.raises(DataRefused, match="5 points with a sigma for 4 parameters"):
        fit_form(Curve(few.axis, few.x[:5], few.intensity[:5], few.sigma[:5]))


def test_without_a_compiler_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from sasmodels import core

    def build_model(*_: object, **__: object) -> None:
        raise RuntimeError("compile failed.\ncc: not found")

    monkeypatch.setattr(core, "build_model", build_model)
    with pytest.raises(ConfigError, match=r"sphere could not be compiled .* install a C compiler"):
        fit_form(spheres(9))
