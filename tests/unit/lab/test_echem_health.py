"""State of health and its trend: lines with known scatter, and trends that are not told."""

from __future__ import annotations

import numpy as np
import pytest
from cycled_cells import Step, cycling, record_of

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.cycling.cycles import cycles
from poliqi.lab.echem.cycling.health import health


def test_the_line_is_that_of_polyfit() -> None:
    rng = np.random.default_rng(5)
    losses = 0.004 * np.arange(30) + rng.normal(0, 0.002, 30)
    told = health(cycles(cycling(losses.tolist())), nominal_ah=1.0)
    number = np.arange(1, 31)
    (slope, _), covariance = np.polyfit(number, 1 - losses, 1, cov=True)
    assert told.fade is not None
    assert told.fade.value == pytest.approx(-slope, rel=1e-3)
    assert told.fade.sigma == pytest.approx(np.sqrt(covariance[0, 0]), rel=0.01)
    assert told.end_of_life is not None
    assert abs(told.end_of_life.value - 51) < 3 * told.end_of_life.sigma < 15


def test_three_discharges_make_no_trend() -> None:
    told = health(cycles(cycling([0.0, 0.01, 0.02])))
    assert told.now is None
    assert told.fade is None
    assert "needs 4" in told.verdict


def test_a_cell_that_does_not_fade_has_no_end_of_life() -> None:
    losses = np.random.default_rng(2).normal(0.05, 0.001, 12)
    told = health(cycles(cycling(losses.tolist())), nominal_ah=1.0)
    assert told.end_of_life is None
    assert "no end of life" in told.verdict


def test_nothing_is_extrapolated_from_a_bent_trend() -> None:
    losses = [0.0003 * k**2 for k in range(20)]
    told = health(cycles(cycling(losses)), nominal_ah=1.0)
    assert told.end_of_life is None
    assert "straight line" in told.verdict


def test_check_ups_at_another_current_do_not_count() -> None:
    steps = list[Step]()
    for at in range(6):
        current, taken = (0.1, 0.95) if at == 3 else (1.0, 0.8)
        steps += [Step(1.0, taken), Step(0.0, 0.1), Step(-current, taken / current), Step(0.0, 0.1)]
    told = health(cycles(record_of(steps)))
    assert told.cycle.tolist() == [1, 2, 3, 5, 6]
    assert told.left_out == ("cycle 4: at 0.1 A instead of 1 A",)


def test_what_is_no_nominal_capacity_is_refused() -> None:
    with pytest.raises(DataRefused, match="nominal"):
        health(cycles(cycling([0.0] * 4)), nominal_ah=0.0)


def test_a_record_without_a_pair_has_no_health() -> None:
    with pytest.raises(DataRefused, match="no complete discharge"):
        health(cycles(record_of([Step(-1.0, 0.4)])))
