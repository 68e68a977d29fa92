"""dQ/dV and dV/dQ of cells whose curves are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from cycled_cells import Step, record_of
from scipy.signal import savgol_coeffs

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.cycling.differential import differential_voltage, incremental_capacity, smoothing
from poliqi.lab.echem.cycling.halfcycles import HalfCycle, half_cycles
from poliqi.lab.echem.record import CyclingRecord

PLATEAUS = ((3.55, 0.02, 0.6), (3.80, 0.03, 0.4))  # voltage, width, charge in Ah


def charged(seed: int | None = None, n: int = 4000) -> tuple[CyclingRecord, HalfCycle, float]:
    """A charge over two plateaus, Q(V) = sum of logistic steps; the voltage with .2 mV of noise where seeded."""
    v = np.linspace(3.3, 4.1, 200_001)
    q = sum(charge / (1 + np.exp(-(v - at) / width)) for at, width, charge in PLATEAUS)
    q = q - q[0]
    t = np.linspace(0, 36_000, n)
    voltage = np.interp(t / t[-1] * q[-1], q, v)
    if seed is not None:
        voltage = voltage + np.random.default_rng(seed).normal(0, 2e-4, n)
    record = CyclingRecord(t, voltage, np.full(n, q[-1] / 10))
    found = half_cycles(record)
    return record, found.halves[0], found.rest_current_a


def truth(v: np.ndarray) -> np.ndarray:
    """dQ/dV of the logistic steps."""
    return sum(charge / (4 * width * np.cosh((v - at) / (2 * width)) ** 2) for at, width, charge in PLATEAUS)


def test_dq_dv_is_the_derivative_of_the_charge() -> None:
    curve = incremental_capacity(*charged())
    inside = (curve.voltage_v > 3.36) & (curve.voltage_v < 4.04)
    assert np.abs(curve.dq_dv_ah_v - truth(curve.voltage_v))[inside].max() < 0.01 * truth(np.array([3.55])).item()


def test_peaks_stand_where_the_plateaus_are_also_with_noise() -> None:
    curve = incremental_capacity(*charged(seed=3))
    for low, high, at in ((3.5, 3.6, 3.55), (3.75, 3.85, 3.80)):
        near = (curve.voltage_v > low) & (curve.voltage_v < high)
        assert curve.voltage_v[near][curve.dq_dv_ah_v[near].argmax()] == pytest.approx(at, abs=0.004)


@pytest.mark.parametrize("seed", [None, 1, 2])
@pytest.mark.parametrize("step_v", [0.0005, 0.002, 0.01])
def test_the_integral_is_the_charge(seed: int | None, step_v: float) -> None:
    record, half, rest = charged(seed)
    curve = incremental_capacity(record, half, rest, step_v=step_v)
    assert curve.integral_ah == pytest.approx(half.capacity_ah, rel=1e-9)


def test_a_hold_is_left_out_and_its_charge_told() -> None:
    record, _, _ = charged()
    t = np.arange(10.0, 7200.0, 10.0)
    held = CyclingRecord(
        np.concatenate((record.time_s, record.time_s[-1] + t)),
        np.concatenate((record.voltage_v, np.full(t.size, record.voltage_v[-1]))),
        np.concatenate((record.current_a, record.current_a[-1] * np.exp(-t / 1200))),
    )
    found = half_cycles(held)
    curve = incremental_capacity(held, found.halves[0], found.rest_current_a)
    assert curve.integral_ah + curve.held_ah == pytest.approx(found.halves[0].capacity_ah, rel=1e-6)
    assert curve.dq_dv_ah_v[-1] < 0.001 * truth(np.array([3.55])).item()  # of the hold it would be a spike


def test_dv_dq_is_one_over_dq_dv() -> None:
    record, half, rest = charged()
    curve = differential_voltage(record, half, rest)
    v = np.interp(curve.charge_ah, np.linspace(0, half.capacity_ah, record.time_s.size), record.voltage_v)
    on_plateaus = truth(v) > 2  # Ah/V
    assert curve.dv_dq_v_ah[on_plateaus] == pytest.approx(1 / truth(v)[on_plateaus], rel=0.02)


def test_dv_dq_of_a_straight_line_is_its_slope_in_both_directions() -> None:
    record = record_of([Step(0.1, 5.0), Step(-0.1, 5.0)], every_s=10.0)
    found = half_cycles(record)
    up, down = (differential_voltage(record, half, found.rest_current_a) for half in found.halves)
    assert up.dv_dq_v_ah == pytest.approx(np.ones(up.charge_ah.size), rel=1e-3)
    assert down.dv_dq_v_ah == pytest.approx(np.ones(down.charge_ah.size), rel=1e-3)


def test_weights_are_those_of_savitzky_and_golay() -> None:
    assert smoothing(21, 3) == pytest.approx(savgol_coeffs(21, 3), abs=1e-14)
    assert smoothing(21, 3, 1) == pytest.approx(savgol_coeffs(21, 3, deriv=1, use="dot"), abs=1e-14)


@pytest.mark.parametrize(("window", "order"), [(20, 3), (3, 3), (1, 0), (2001, 3), (21, 12)])
def test_smoothing_that_cannot_be_is_refused(window: int, order: int) -> None:
    with pytest.raises(DataRefused, match="odd number"):
        smoothing(window, order)


@pytest.mark.parametrize("step_v", [0.0, -1.0, 0.5, 1e-9, float("nan")])
def test_a_grid_that_does_not_fit_is_refused(step_v: float) -> None:
    with pytest.raises(DataRefused, match=r"rows 1 to 4000: a step"):
        incremental_capacity(*charged(), step_v=step_v)
