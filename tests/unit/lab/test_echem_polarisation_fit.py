"""Joint fits: measured stacks and an electrolyser, curves predicted from the others, what is not identified."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from polarisation_curves import NOMINAL, TRUTH, ULLEBERG, calculated, measured_stack, ulleberg_file

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.polarisation.curve import Conditions, Curve, Device
from poliqi.lab.echem.polarisation.file import read_curves
from poliqi.lab.echem.polarisation.fit import fit_polarisation
from poliqi.lab.echem.polarisation.leftout import LeftOut, Unpredicted, leave_one_out
from poliqi.lab.echem.polarisation.model import operation_at, parameters_of, reversible_voltage
from poliqi.lab.echem.polarisation.table import read_as

DOCS = Path(__file__).resolve().parents[3] / "docs/explanation/polarisation.md"
NAMES = [one.name for one in parameters_of(Device.FUEL_CELL)]


def varied() -> list[Conditions]:
    pressures = [replace(NOMINAL, cathode_pressure_pa=p, anode_pressure_pa=p + 2e4) for p in (1.5e5, 2e5, 2.5e5)]
    return [*pressures, *(replace(NOMINAL, temperature_k=273.15 + t) for t in (55, 80))]


def calculated_cell(seed: int = 0, noise_v: float = 1e-3) -> list[Curve]:
    return [calculated(at, f"c{k}", noise_v=noise_v, seed=10 * seed + k) for k, at in enumerate(varied())]


@pytest.fixture
def ulleberg(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Curve, ...]:
    cache: Callable[[str], Path] = request.config.cache.mkdir  # pyright: ignore[reportOptionalMemberAccess] - pytest has one
    path = ulleberg_file(Path(cache("real-cells")), tmp_path)
    return read_curves(path, read_as(["device=alkaline electrolyser", "cell=PHOEBUS"], ULLEBERG))


def test_the_fuel_cell_stack_is_fitted_jointly_within_10_mv() -> None:
    fit = fit_polarisation(measured_stack("ZSW-2024"))
    assert fit.spread_v < 10e-3
    assert not fit.fitted.unidentified
    assert max(fit.rms_v(one) for one in fit.curves) < 15e-3


def test_the_alkaline_electrolyser_is_fitted_within_4_mv(ulleberg: tuple[Curve, ...]) -> None:
    fit = fit_polarisation(ulleberg)
    assert sum(one.voltage_v.size for one in fit.curves) == 86
    assert fit.spread_v < 4e-3
    assert not fit.fitted.unidentified


@pytest.mark.parametrize("family", ["ZSW-2024", "EH-31"])
def test_a_curve_left_out_is_predicted_as_the_documents_say(family: str) -> None:
    """Within 15 mV, and the tables of the documents are those which are calculated."""
    text = DOCS.read_text()
    rows = re.findall(rf"^\| {family} \| (\S+) \|.*\| ([0-9.]+) \| ([0-9.]+) \|$", text, re.MULTILINE)
    table = {name: float(told) for name, told, _ in rows}
    curves = [one for one in measured_stack(family) if one.name in table]
    left = [one for one in leave_one_out(curves) if isinstance(one, LeftOut)]
    assert max(one.rms_v for one in left) < 15e-3
    assert {one.name: one.rms_v * 1e3 for one in left} == pytest.approx(table, abs=0.15)
    assert {one.name: one.rms_over_sigma for one in left} == pytest.approx(
        {name: float(ratio) for name, _, ratio in rows}, abs=0.06
    )
    (said,) = re.findall(rf"^\| {family} \| (\d+) \| (\d+) % \| (\d+) % \| ([0-9.]+) \|$", text, re.MULTILINE)
    over = np.abs(np.concatenate([one.left_v / one.sigma_v for one in left]))
    counted = [over.size, 100 * np.mean(over < 1), 100 * np.mean(over < 2), np.sqrt(np.mean(over**2))]
    assert counted[:3] == pytest.approx([float(one) for one in said[:3]], abs=1)
    assert counted[3] == pytest.approx(float(said[3]), abs=0.01)


def test_sigmas_widen_where_neighbouring_points_lie_off_together() -> None:
    """Waves of 5 mV along each curve, and the same with every second point turned over."""
    waves = np.sin(np.linspace(0, 6 * np.pi, 40)) * 5e-3
    curves = [calculated(at, f"c{k}", points=40) for k, at in enumerate(varied())]
    signs = np.where(np.arange(40) % 2, 1.0, -1.0)
    together = fit_polarisation([replace(one, voltage_v=one.voltage_v + waves) for one in curves])
    apart = fit_polarisation([replace(one, voltage_v=one.voltage_v + waves * signs) for one in curves])
    assert apart.wider == 1.0
    neighbour = float(np.cos(6 * np.pi / 39))  # correlation of a sine with itself one point on
    assert together.wider == pytest.approx(np.sqrt((1 + neighbour) / (1 - neighbour)), rel=0.2)
    ratio = together.fitted.sigma / apart.fitted.sigma
    assert float(np.nanmin(ratio)) > 2
    inside = np.array([1e4])
    assert together.predict(NOMINAL, inside)[1] > apart.predict(NOMINAL, inside)[1]


def test_known_parameters_are_found_within_their_doubt() -> None:
    fit = fit_polarisation(calculated_cell(seed=3))
    off = [
        (fit.fitted[one.name] - TRUTH[NAMES.index(one.name)]) / float(fit.fitted.sigma[at])
        for at, one in enumerate(fit.fitted.parameters)
    ]
    assert len(off) == 9
    assert float(np.abs(off).max()) < 3.5
    assert fit.spread_v == pytest.approx(1e-3, rel=0.3)


@pytest.mark.soak
def test_two_thirds_of_known_parameters_lie_within_one_sigma() -> None:
    """68 % of 9 parameters in 300 fits: 63 to 73 % is more than ten standard deviations of that count."""
    inside = []
    for seed in range(300):
        fit = fit_polarisation(calculated_cell(seed))
        truth = np.array([TRUTH[NAMES.index(one.name)] for one in fit.fitted.parameters])
        inside.append(np.abs(fit.fitted.value - truth) < fit.fitted.sigma)
    assert 0.63 < float(np.mean(inside)) < 0.73


def test_laws_are_held_where_curves_do_not_differ_and_it_is_said_why() -> None:
    fit = fit_polarisation([calculated(NOMINAL, "one", noise_v=1e-3)])
    held = {one.name: one.why for one in fit.held}
    assert set(held) == {
        "oxygen_order", "activation_energy", "resistance_energy", "transport_order", "transport_energy",
    }  # fmt: skip
    assert "1 temperature(s), 3 are needed" in held["activation_energy"]
    assert "1 pressure(s), 3 are needed" in held["oxygen_order"]


def test_what_the_data_does_not_tell_has_no_value() -> None:
    """No transport loss below half an ampere: neither its onset nor its slope is there to be seen."""
    curve = calculated(NOMINAL, "low currents", noise_v=1e-3, most=4e3)
    fit = fit_polarisation([curve])
    assert {"transport_onset", "transport_slope"} <= set(fit.fitted.unidentified)
    assert fit.quantity("transport_slope") is None
    assert fit.quantity("transfer_coefficient") is not None


def test_one_temperature_does_not_tell_its_law() -> None:
    curves = [
        calculated(replace(NOMINAL, cathode_pressure_pa=p), f"{p:g}", noise_v=1e-3) for p in (1.5e5, 2e5, 2.5e5)
    ]
    fit = fit_polarisation(curves, free=("resistance_energy",))
    assert "resistance_energy" in fit.fitted.unidentified


def test_held_and_freed_as_asked() -> None:
    fit = fit_polarisation(calculated_cell(), hold={"transport_order": 1.5}, free=("transport_energy",))
    assert {one.name: (one.value, one.why) for one in fit.held} == {"transport_order": (1.5, "as asked")}
    assert "transport_energy" in [one.name for one in fit.fitted.parameters]


@pytest.mark.parametrize(
    ("hold", "free", "said"),
    [
        ({"colour": 1.0}, (), "'colour' is no parameter of a PEM fuel cell"),
        ({}, ("colour",), "'colour' is no parameter"),
        ({"oxygen_order": -3.0}, (), "must be 0 to 4"),
        ({"oxygen_order": 1.0}, ("oxygen_order",), "choose"),
    ],
)
def test_unknown_and_contradicting_names_are_refused(
    hold: dict[str, float], free: tuple[str, ...], said: str
) -> None:
    with pytest.raises(DataRefused, match=said):
        fit_polarisation([calculated(NOMINAL, "one")], hold=hold, free=free)


def test_five_parameters_on_fewer_than_eight_points_are_refused() -> None:
    with pytest.raises(DataRefused, match="5 parameters on 7 points; measure at least 8"):
        fit_polarisation([calculated(NOMINAL, "one", points=7)])
    fit_polarisation([calculated(NOMINAL, "one", points=8)])


def test_more_than_the_reversible_voltage_is_refused_by_row() -> None:
    curve = calculated(NOMINAL, "one")
    volts = curve.voltage_v.copy()
    volts[2] = reversible_voltage(Device.FUEL_CELL, NOMINAL) + 0.01
    bad = replace(curve, voltage_v=volts, rows=np.arange(20) + 7, file="cell.csv")
    with pytest.raises(DataRefused, match=r"cell.csv 'one', row 9: voltage .* above the reversible 1.19"):
        fit_polarisation([bad])


def test_less_than_the_reversible_voltage_of_an_electrolyser_is_refused() -> None:
    at = Conditions(333.15, 1e5, 1e5)
    curve = Curve(Device.PEM_ELECTROLYSER, "one", at, np.linspace(1e3, 1e4, 9), np.linspace(1.0, 1.9, 9))
    with pytest.raises(DataRefused, match="row 1: voltage 1 V lies below the reversible"):
        fit_polarisation([curve])


def test_curves_that_do_not_belong_together_are_refused() -> None:
    one = calculated(NOMINAL, "one")
    with pytest.raises(DataRefused, match="given twice"):
        fit_polarisation([one, one])
    with pytest.raises(DataRefused, match="one cell at a time"):
        fit_polarisation([one, replace(one, name="two", cell="another")])
    with pytest.raises(DataRefused, match="no polarisation curve"):
        fit_polarisation([])


def test_points_of_no_current_are_left_out_and_told() -> None:
    curve = calculated(NOMINAL, "one")
    i, v = np.append(0.0, curve.current_density_a_m2), np.append(0.98, curve.voltage_v)
    fit = fit_polarisation([replace(curve, current_density_a_m2=i, voltage_v=v)])
    assert fit.curves[0].voltage_v.size == 20
    assert "1 point(s) of 'one' at no current" in fit.curves[0].notes[0]


def test_a_prediction_outside_the_curves_is_named() -> None:
    fit = fit_polarisation(calculated_cell())
    (words,) = fit.outside(replace(NOMINAL, temperature_k=363.15))
    assert words == "temperature 90 degC (curves: 55 degC to 80 degC)"
    _, sigma = fit.predict(NOMINAL, np.array([1e4]))
    _, far = fit.predict(replace(NOMINAL, temperature_k=400.0), np.array([1e4]))
    assert far[0] > sigma[0]


def test_a_current_beyond_the_nearest_curve_is_named() -> None:
    """The curve at 2.5 bar goes further: that says nothing of 1.5 bar."""
    far = replace(NOMINAL, cathode_pressure_pa=2.5e5)
    near = replace(NOMINAL, cathode_pressure_pa=1.5e5)
    fit = fit_polarisation([calculated(near, "low", most=1.8e4), calculated(far, "high", most=2.6e4)])
    assert fit.most_current_a_m2() == pytest.approx(2.6e4)
    assert fit.beyond(near, 1.8e4) == ""
    assert fit.beyond(replace(NOMINAL, cathode_pressure_pa=1.9e5), 2e4) == (
        "2 A/cm2 (the curve nearest to these conditions, 'low', ends at 1.8 A/cm2)"
    )
    assert fit.beyond(replace(NOMINAL, cathode_pressure_pa=2.1e5), 2e4) == ""


def test_nothing_is_predicted_from_too_few_points() -> None:
    """Ten points are fitted jointly; five of them are not."""
    curves = [calculated(replace(NOMINAL, temperature_k=t), f"{t:g}", points=5) for t in (330.0, 350.0)]
    fit_polarisation(curves)
    left = leave_one_out(curves)
    assert all(isinstance(one, Unpredicted) and "5 parameters on 5 points" in one.why for one in left)
    assert [one.name for one in left] == ["330", "350"]
    assert leave_one_out(curves[:1]) == (Unpredicted("330", "there is no other curve"),)


def test_oxygen_of_pure_oxygen_does_not_thin_out_along_the_channel() -> None:
    at = replace(NOMINAL, oxygen_fraction=1.0, cathode_humidity=1.0)
    air = operation_at(Device.FUEL_CELL, NOMINAL, np.array([1e4]))
    oxygen = operation_at(Device.FUEL_CELL, at, np.array([1e4]))
    vapour = 28_599.0  # of water at 68 degC, IAPWS-95
    assert float(np.exp(oxygen.log_activity[0])) == pytest.approx((2e5 - vapour) / 1e5, rel=1e-3)
    assert air.log_activity[0] < oxygen.log_activity[0] - np.log(1 / 0.2095)
