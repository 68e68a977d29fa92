"""Cycles by hand: gaps at both ends of a half cycle, holds cut off early, error bars of the trend, what is told."""

from __future__ import annotations

import numpy as np
import pytest
from cycled_cells import Step, cycling, record_of

from poliqi.lab.echem.chargeflow import runs_of
from poliqi.lab.echem.cycling.cyclecautions import cautions
from poliqi.lab.echem.cycling.cycles import cycles
from poliqi.lab.echem.cycling.halfcycles import half_cycles
from poliqi.lab.echem.cycling.health import health
from poliqi.lab.echem.record import CyclingRecord

NUMBER = np.arange(1, 31)


def sparse(current: list[float], time: list[float]) -> CyclingRecord:
    """A cell of ten farads."""
    t, i = np.array(time), np.array(current)
    return CyclingRecord(t, 3 + np.concatenate((np.zeros(1), np.cumsum(i[1:] * np.diff(t)))) / 1e4, i)


def test_a_run_of_current_has_the_charge_and_the_doubt_of_both_its_ends() -> None:
    runs = runs_of(sparse([0.0, 0.0, 1.0, 2.0, 3.0, 0.0, 0.0], [0, 10, 50, 60, 70, 120, 130]), 0.1)
    assert runs.first.tolist() == [0, 2, 5]
    assert runs.charge_c.tolist() == [0, 40 * 1 + 10 * 1.5 + 10 * 2.5, 0]
    assert runs.edge_c[1] == 40 * 1 + 50 * 3  # 40 s before it at the first current, 50 s after it at the last
    assert runs.time_s[1] == 60


def test_the_doubt_of_an_efficiency_is_that_of_charge_and_discharge_together() -> None:
    current = [0.0] + [1.0] * 10 + [0.0] + [-1.0] * 8 + [0.0]
    (one,) = cycles(sparse(current, [60.0 * at for at in range(len(current))])).cycles
    assert one.coulombic_efficiency == pytest.approx(0.8)
    assert one.coulombic_doubt == pytest.approx(0.8 * (120 / 600 + 120 / 480))


def test_a_hold_that_is_cut_off_at_a_fifth_of_its_current_is_a_hold() -> None:
    charge = record_of([Step(1.0, 0.5)])
    t = np.arange(1.0, 600 * np.log(5), 10.0)  # falls to 0.2 A
    held = CyclingRecord(
        np.concatenate((charge.time_s, charge.time_s[-1] + t)),
        np.concatenate((charge.voltage_v, np.full(t.size, charge.voltage_v[-1]))),
        np.concatenate((charge.current_a, np.exp(-t / 600))),
    )
    (half,) = half_cycles(held).halves
    assert half.held_ah == pytest.approx(600 * (1 - np.exp(-t[-1] / 600)) / 3600, rel=0.02)


def test_charge_outside_of_every_half_cycle_is_told() -> None:
    whole = [Step(1.0, 0.4), Step(-1.0, 0.4)]
    (told,) = [one for one in cautions(cycles(record_of([*whole, Step(0.5, 0.03)]))) if "too small" in one]
    assert told.startswith("0.015 Ah flowed in swings")
    assert not any("too small" in one for one in cautions(cycles(record_of(whole))))


def test_health_and_end_of_life_have_the_errors_of_polyfit() -> None:
    losses = 0.004 * np.arange(30) + np.random.default_rng(5).normal(0, 0.002, 30)
    told = health(cycles(cycling(losses.tolist())), nominal_ah=1.0)
    (slope, zero), covariance = np.polyfit(NUMBER, 1 - losses, 1, cov=True)
    assert told.now is not None
    assert told.end_of_life is not None
    at = np.array([30.0, 1.0])
    assert told.now.value == pytest.approx(at @ (slope, zero), rel=1e-4)
    assert told.now.sigma == pytest.approx(np.sqrt(at @ covariance @ at), rel=0.01)
    by = np.array([(zero - 0.8) / slope**2, -1 / slope])
    assert told.end_of_life.value == pytest.approx((0.8 - zero) / slope, rel=1e-3)
    assert told.end_of_life.sigma == pytest.approx(np.sqrt(by @ covariance @ by), rel=0.01)


def test_an_end_of_life_far_beyond_what_was_seen_is_not_told() -> None:
    """0.05 % a cycle reaches 80 % at cycle 400; 30 are seen."""
    losses = 5e-4 * np.arange(30) + np.random.default_rng(3).normal(0, 1e-4, 30)
    told = health(cycles(cycling(losses.tolist())), nominal_ah=1.0)
    assert told.fade is not None
    assert told.fade.value == pytest.approx(5e-4, rel=0.05)
    assert told.end_of_life is None
    assert told.verdict == "the line reaches 80 % past 3 times the cycles seen: not told"
