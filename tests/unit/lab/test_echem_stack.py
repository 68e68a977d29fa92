"""Stacks: operating points, sizing, loads of drive cycles, and the split with a battery against closed forms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from polarisation_curves import NOMINAL, calculated, drive_cycle

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.polarisation.curve import Conditions, Curve, Device
from poliqi.lab.echem.polarisation.fit import PolarisationFit, fit_polarisation
from poliqi.lab.echem.polarisation.water import thermoneutral_voltage
from poliqi.lab.echem.stack.design import Stack, cell_at_efficiency, cell_at_voltage, sized
from poliqi.lab.echem.stack.hybrid import Battery, least_hydrogen, least_stack_power
from poliqi.lab.echem.stack.load import DriveCycle, Load, Vehicle, load_of, profile_from, read_profile

CAR = Vehicle(1500.0, 0.6, 0.01, 0.9, 0.5, 500.0, 1.2)
LOSSLESS = Battery(10_000.0, 0.0, 1.0, 0.5, 1e5, 1e5, 1.0, 1.0)
KG_A_S = 2.01588e-3 / (2 * 96485.33212)
"""Hydrogen of one ampere second in one cell."""


@pytest.fixture(scope="module")
def fit() -> PolarisationFit:
    return fit_polarisation([calculated(NOMINAL, "one", noise_v=1e-4)])


@pytest.fixture(scope="module")
def stack(fit: PolarisationFit) -> Stack:
    return Stack(fit, NOMINAL, 100, 0.02)


def load(*kilowatts: float, seconds: float = 10.0) -> Load:
    return Load("load", np.full(len(kilowatts), seconds), np.array(kilowatts) * 1e3)


def test_power_heat_and_hydrogen_keep_energy(stack: Stack) -> None:
    """What hydrogen brings by its higher heating value at this temperature leaves as power and heat."""
    point = stack.at_current_density(1e4)
    brought = float(thermoneutral_voltage(np.array(NOMINAL.temperature_k))) * point.current_a * stack.cells
    assert point.power_w + point.heat_w == pytest.approx(brought)
    assert point.current_a == pytest.approx(200.0)
    assert point.hydrogen_kg_s == pytest.approx(200.0 * 100 * KG_A_S)
    assert point.efficiency_lower == pytest.approx(point.power_w / (point.hydrogen_kg_s * 119.96e6), rel=1e-3)
    assert point.efficiency_higher == pytest.approx(point.power_w / (point.hydrogen_kg_s * 141.79e6), rel=1e-3)


def test_an_electrolyser_takes_power_and_makes_hydrogen() -> None:
    at = Conditions(333.15, 1e5, 1e5)
    i = np.linspace(500.0, 2e4, 20)
    curve = Curve(Device.PEM_ELECTROLYSER, "one", at, i, 1.40 + 0.05 * np.log(i / 100) + 1.5e-5 * i)
    fit = fit_polarisation([curve])
    point = Stack(fit, at, 10, 0.01).at_current_density(2e4)
    neutral = float(thermoneutral_voltage(np.array(333.15)))
    assert point.heat_w == pytest.approx(point.power_w - neutral * 200.0 * 10)
    assert point.efficiency_higher == pytest.approx(point.hydrogen_kg_s * 141.79e6 / point.power_w, rel=1e-3)
    assert cell_at_efficiency(fit, at, point.efficiency_higher) == pytest.approx(2e4, rel=1e-3)


def test_sized_to_power_by_area_or_by_cells(fit: PolarisationFit) -> None:
    i = cell_at_voltage(fit, NOMINAL, 0.65)
    by_area = sized(fit, NOMINAL, i, power_w=60e3, area_m2=0.0273)
    assert by_area.cells == int(np.ceil(60e3 / (0.65 * i * 0.0273)))
    point = by_area.at_power(60e3)
    assert point.power_w == pytest.approx(60e3, rel=1e-4)
    assert 0.65 < point.cell_voltage_v < 0.66  # whole cells: a little less current
    by_cells = sized(fit, NOMINAL, i, power_w=60e3, cells=300)
    assert by_cells.area_m2 == pytest.approx(60e3 / (0.65 * i * 300))


def test_sized_to_hydrogen(fit: PolarisationFit) -> None:
    made = sized(fit, NOMINAL, 1e4, hydrogen_kg_s=100 * 200.0 * KG_A_S, cells=100)
    assert made.area_m2 == pytest.approx(0.02)


def test_doubt_of_a_cell_is_that_of_the_stack(stack: Stack) -> None:
    point = stack.at_current_density(1e4)
    assert point.power_sigma_w / point.power_w == pytest.approx(point.cell_voltage_sigma_v / point.cell_voltage_v)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda s: s.at_current_density(3e4), "measured up to 2.2 A/cm2"),
        (lambda s: s.at_current_density(0.0), "measured up to"),
        (lambda s: s.at_power(1e6), "take more cells or a larger area"),
        (lambda s: cell_at_voltage(s.fit, NOMINAL, 1.3), "choose a voltage within"),
        (lambda s: cell_at_efficiency(s.fit, NOMINAL, 0.0), "must be above 0"),
        (lambda s: sized(s.fit, NOMINAL, 1e4, power_w=-1.0, cells=1), "no power or flow"),
        (lambda s: sized(s.fit, NOMINAL, 1e4, power_w=1e12, area_m2=1e-4), "cells: must be 1 to"),
        (lambda s: Stack(s.fit, NOMINAL, 1, 0.0), "must be above 0"),
    ],
)
def test_what_cannot_be_met_is_refused(stack: Stack, work: Callable[[Stack], object], said: str) -> None:
    with pytest.raises(DataRefused, match=said):
        work(stack)


def test_steady_speed_takes_rolling_and_drag() -> None:
    cycle = DriveCycle("steady", np.array([0.0, 10.0, 20.0]), np.full(3, 20.0))
    made = load_of(cycle, CAR)
    wheel = (0.01 * 1500 * 9.80665 + 0.5 * 1.2 * 0.6 * 400.0) * 20.0
    assert made.power_w == pytest.approx(np.full(2, wheel / 0.9 + 500.0))
    assert made.distance_m == pytest.approx(400.0)


def test_braking_gives_back_the_kinetic_energy_that_is_kept() -> None:
    free = replace(CAR, drag_area_m2=0.0, rolling_coefficient=0.0, auxiliary_w=0.0)
    made = load_of(DriveCycle("stop", np.array([0.0, 7.0]), np.array([20.0, 0.0])), free)
    assert float(made.power_w[0]) * 7.0 == pytest.approx(-0.5 * 1500 * 400.0 * 0.9 * 0.5)


@pytest.mark.parametrize(
    ("name", "size", "miles", "seconds", "mph"),
    [("LA4", 12_551, 7.45, 1369, 56.7), ("US06", 5_633, 8.01, 600, 80.3)],  # EPA, dynamometer drive schedules
)
def test_drive_cycles_are_as_long_as_published(
    name: str, size: int, miles: float, seconds: float, mph: float, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    cache = Path(request.config.cache.mkdir("real-cells"))  # pyright: ignore[reportOptionalMemberAccess] - pytest has one
    cycle = read_profile(drive_cycle(name, size, cache, tmp_path))
    assert isinstance(cycle, DriveCycle)
    made = load_of(cycle, CAR)
    assert made.distance_m is not None
    assert made.distance_m / 1609.344 == pytest.approx(miles, abs=0.01)
    assert made.seconds == pytest.approx(seconds, abs=2)
    assert cycle.speed_m_s.max() / 0.44704 == pytest.approx(mph, abs=0.05)


def test_a_profile_of_power_is_read_with_its_units() -> None:
    made = profile_from(b"# pump\ntime / min; power [kW]\n0;1\n1;2\n3;0\n", "pump.csv")
    assert isinstance(made, Load)
    assert made.duration_s.tolist() == [60.0, 120.0]
    assert made.power_w.tolist() == [1e3, 2e3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time,speed / mph\n0,1\n1,2\n", "line 1: time in ''"),
        ("time / s,speed / knots\n0,1\n1,2\n", "speed in 'knots'"),
        ("time / s,height / m\n0,1\n1,2\n", "a load has time and either speed or power; there is time"),
        ("time / s,speed / mph,power / W\n0,1,1\n1,2,1\n", "either speed or power"),
        ("time / s,time / h,power / W\n0,1,1\n1,2,1\n", "two columns of time"),
        ("time / s,speed / mph\n0,1\n1\n", "line 3: '1' are not the numbers of a row"),
        ("time / s,speed / mph\n0,1\n1,fast\n", "line 3"),
        ("time / s,speed / mph\n0,1\n1,1_0\n", "line 3: speed is no number"),
        ("time / s,speed / mph\n0,1\n1,2,5\n", "line 3: '1,2,5' are not the numbers of a row"),
        ("time / s,speed / mph\n0,1\n0,2\n", "line 3: time does not rise"),
        ("time / s,speed / mph\n0,1\n1,-2\n", "line 3: speed -0.8941"),
        ("time / s,speed / mph\n0,1\n1,inf\n", "line 3: speed is no number"),
        ("time / s,speed / mph\n0,1\n", "2 lines"),
    ],
)
def test_profiles_are_refused_by_line(text: str, said: str) -> None:
    with pytest.raises(DataRefused, match=said) as refused:
        profile_from(text.encode(), "load.csv")
    assert "load.csv" in str(refused.value)


def test_with_a_lossless_battery_the_stack_gives_the_mean(stack: Stack) -> None:
    """Jensen: hydrogen is convex in power, so a constant power takes least."""
    split = least_hydrogen(load(2.0, 18.0, 6.0, 14.0), stack, LOSSLESS)
    least = stack.at_power(10e3).hydrogen_kg_s * 40.0
    assert split.hydrogen_kg == pytest.approx(least, rel=1e-3)
    assert split.bound_kg <= least * (1 + 1e-9)
    assert split.gap < 2e-3


def test_without_battery_power_the_stack_follows(stack: Stack) -> None:
    none = replace(LOSSLESS, most_charge_w=0.0, most_discharge_w=0.0)
    split = least_hydrogen(load(2.0, 18.0), stack, none)
    assert split.stack_w == pytest.approx([2e3, 18e3])
    used = (stack.at_power(2e3).hydrogen_kg_s + stack.at_power(18e3).hydrogen_kg_s) * 10
    assert split.hydrogen_kg == pytest.approx(used, rel=1e-5)
    assert least_stack_power(load(2.0, 18.0), none) == pytest.approx(18e3)


def test_the_smallest_stack_of_a_lossless_battery_gives_the_mean() -> None:
    assert least_stack_power(load(2.0, 18.0, 6.0, 14.0), LOSSLESS) == pytest.approx(10e3)


def test_energy_of_a_lossy_battery_is_kept_and_ends_as_it_began(stack: Stack) -> None:
    battery = Battery(100.0, 0.2, 0.9, 0.5, 8e3, 12e3, 0.9, 0.95)
    demand = load(1.0, 15.0, -6.0, 3.0, 18.0, -9.0, 2.0)
    split = least_hydrogen(demand, stack, battery, ramp_w_s=500.0)
    assert split.stack_w + split.discharge_w - split.charge_w - split.friction_w == pytest.approx(demand.power_w)
    stored = 50.0 + np.cumsum(split.charge_w * 0.9 - split.discharge_w / 0.95) * 10.0 / 3600
    assert split.stored_wh[1:] == pytest.approx(stored)
    assert split.stored_wh.min() >= 20.0 - 1e-6
    assert split.stored_wh.max() <= 90.0 + 1e-6
    assert split.stored_wh[-1] >= 50.0 - 1e-6
    assert float(np.abs(np.diff(split.stack_w)).max()) <= 500.0 * 10 + 1e-3
    assert float(np.max(split.charge_w * split.discharge_w)) == pytest.approx(0.0, abs=1e-3)
    assert split.bound_kg <= split.hydrogen_kg
    assert split.gap < 5e-3


def test_no_other_split_takes_less_than_the_bound(stack: Stack) -> None:
    """Against every split on a coarse grid of three spans."""
    battery = Battery(60.0, 0.0, 1.0, 0.5, 6e3, 6e3, 0.9, 0.9)
    demand, watts = load(3.0, 12.0, 5.0), np.arange(0.0, 19e3, 500.0)
    split = least_hydrogen(demand, stack, battery)
    rate = np.array([stack.at_power(one).hydrogen_kg_s if one else 0.0 for one in watts])
    a, b, c = np.meshgrid(*[np.arange(watts.size)] * 3, indexing="ij")
    into = np.stack([watts[one] - need for one, need in zip((a, b, c), demand.power_w, strict=True)])
    energy = 30.0 + np.cumsum(np.where(into > 0, into * 0.9, into / 0.9), axis=0) * 10 / 3600
    fine = (np.abs(into) <= 6e3).all(0) & (energy >= 0).all(0) & (energy <= 60).all(0) & (energy[-1] >= 30.0)
    best = float(((rate[a] + rate[b] + rate[c]) * 10)[fine].min())
    assert split.bound_kg <= best
    assert split.hydrogen_kg <= best * (1 + 1e-3)


def test_a_load_that_nothing_meets_is_refused(stack: Stack) -> None:
    weak = replace(LOSSLESS, most_discharge_w=1e3)
    with pytest.raises(DataRefused, match="cannot meet it: peak 90 kW"):
        least_hydrogen(load(1.0, 90.0), stack, weak)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: replace(LOSSLESS, capacity_wh=0.0), "capacity_wh is 0"),
        (lambda: replace(LOSSLESS, start_charge=1.5), "must rise"),
        (lambda: replace(LOSSLESS, charge_efficiency=1.2), "charge_efficiency is 1.2"),
        (lambda: replace(LOSSLESS, most_charge_w=-1.0), "must be 0 or more"),
        (lambda: replace(CAR, mass_kg=0.0), "mass_kg is 0"),
        (lambda: replace(CAR, regeneration=2.0), "regeneration is 2"),
    ],
)
def test_batteries_and_vehicles_out_of_range_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(DataRefused, match=said):
        make()
