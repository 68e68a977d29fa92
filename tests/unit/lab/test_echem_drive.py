"""The current that drives a model, and the points it is compared at."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.models.drive import chosen_points, drive_of, part_of
from poliqi.lab.echem.record import CyclingRecord


def record(time: NDArray[np.float64], current: NDArray[np.float64], noise_v: float = 0.0) -> CyclingRecord:
    voltage = 3.7 + np.random.default_rng(5).normal(0, noise_v, time.size) if noise_v else np.full(time.size, 3.7)
    return CyclingRecord(time, voltage, current, title="cell")


def pulses() -> CyclingRecord:
    """Rest, discharge, rest, charge: 1 Hz, the current known to 0.1 %."""
    time = np.arange(0.0, 4000.0)
    current = np.select([time < 1000, time < 2000, time < 3000], [0.0, -5.0, 0.0], 2.5)
    return record(time, current * (1 + np.random.default_rng(1).normal(0, 1e-3 / 3, time.size)))


def test_the_charge_of_a_noisy_current_is_kept() -> None:
    given = pulses()
    drive = drive_of(given, np.arange(4000))
    i = given.current_a
    at_steps = 0.5 * sum(i[at] - i[at - 1] for at in (1000, 2000, 3000))  # the later current, not a ramp to it
    assert drive.charge_c == pytest.approx(float(np.trapezoid(i, given.time_s)) + 0.99 * at_steps, rel=1e-6)


@pytest.mark.parametrize("every_s", [10.0, 60.0])
def test_a_current_is_on_from_the_last_row_of_the_rest(every_s: float) -> None:
    """Cyclers write a row as a step ends, then rows of the next step: 600 s of rest, 300 s of -5 A, twice."""
    time = np.arange(0.0, 1800.0 + every_s, every_s)
    current = np.where((time > 600) & (time <= 900) | (time > 1500), -5.0, 0.0)
    drive = drive_of(record(time, current), np.arange(time.size))
    assert drive.charge_c == pytest.approx(-5.0 * 600, abs=0.05)
    assert np.interp([600, 601, 899, 901], drive.knot_s, drive.knot_a).tolist() == [0, -5, -5, 0]


def test_steady_steps_are_one_piece_each() -> None:
    drive = drive_of(pulses(), np.arange(4000))
    assert drive.knot_s.tolist() == [0, 999, 999.01, 1999, 1999.01, 2999, 2999.01, 3999]
    assert drive.knot_a == pytest.approx([0, 0, -5, -5, 0, 0, 2.5, 2.5], abs=1e-3)


def test_a_ramp_stays_a_ramp() -> None:
    time = np.linspace(0.0, 100.0, 101)
    drive = drive_of(record(time, time / 10), np.arange(101))
    asked = np.linspace(0, 100, 57)
    assert np.interp(asked, drive.knot_s, drive.knot_a) == pytest.approx(asked / 10, abs=0.05)


def test_times_begin_at_the_first_point() -> None:
    drive = drive_of(record(np.array([50.0, 60.0, 70.0]), np.full(3, -1.0)), np.array([0, 2]))
    assert drive.time_s.tolist() == [0, 20]
    assert drive.is_constant


def test_points_are_few_and_hold_first_and_last() -> None:
    found = chosen_points(pulses(), 200)
    assert 150 < found.size <= 200
    assert (found[0], found[-1]) == (0, 3999)


def test_points_are_dense_after_a_step() -> None:
    found = chosen_points(pulses(), 200)
    after, later = (int(np.sum((found >= low) & (found < low + 50))) for low in (1000, 1900))
    assert after > 4 * later


def test_noise_of_the_voltage_chooses_no_points() -> None:
    time = np.arange(0.0, 4000.0)
    quiet, noisy = (record(time, np.full(4000, -1.0), noise) for noise in (0.0, 0.01))
    assert chosen_points(quiet, 100).tolist() == chosen_points(noisy, 100).tolist()


def test_a_part_keeps_the_rows_of_the_file() -> None:
    part = part_of(pulses(), 1000, 1999)
    assert (part.row(0), part.row(999), part.time_s.size) == (1001, 2000, 1000)


def test_a_part_with_too_little_in_it_is_refused() -> None:
    with pytest.raises(DataRefused, match=r"3 points of 0 to 3999 s lie between 10 and 12 s"):
        part_of(pulses(), 10, 12)
