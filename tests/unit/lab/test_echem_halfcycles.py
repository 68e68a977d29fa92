"""Half cycles: found by the charge that flows, with what the ends of steps may hide."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cycled_cells import Step, record_of

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.cycling.halfcycles import Direction, End, half_cycles
from poliqi.lab.echem.record import CyclingRecord


def test_capacities_are_current_times_time() -> None:
    found = half_cycles(record_of([Step(-0.5, 0.4), Step(0.2, 4.0), Step(0.0, 1.0), Step(-0.4, 1.5)]))
    assert [half.direction for half in found.halves] == ["discharge", "charge", "discharge"]
    assert [half.capacity_ah for half in found.halves] == pytest.approx([0.2, 0.8, 0.6], rel=1e-5)
    assert [half.mean_current_a for half in found.halves] == pytest.approx([-0.5, 0.2, -0.4], rel=1e-5)
    assert [half.ended for half in found.halves] == [End.REVERSAL, End.REST, End.RECORD]


def test_energy_is_the_integral_of_voltage() -> None:
    (half,) = half_cycles(record_of([Step(0.1, 5.0)])).halves
    assert half.energy_wh == pytest.approx(0.5 * (3.5 + 0.005 + 4.0 + 0.005) / 2, rel=1e-6)


def test_pulses_rests_and_recuperation_end_no_half_cycle() -> None:
    steps = [Step(1.0, 0.4)]
    for _ in range(8):  # a drive: out, rest, a little back
        steps += [Step(-1.0, 0.1), Step(0.0, 0.1), Step(0.5, 0.02)]
    found = half_cycles(record_of(steps))
    assert [half.direction for half in found.halves] == ["charge", "discharge"]
    drive = found.halves[1]
    assert drive.reverse_ah == pytest.approx(7 * 0.01, rel=1e-4)
    assert drive.capacity_ah == pytest.approx(8 * 0.1 - 7 * 0.01, rel=1e-4)
    assert found.outside_ah == pytest.approx(0.01, rel=1e-4)


def test_a_turn_that_is_asked_for_counts_however_small() -> None:
    steps = [Step(1.0, 0.4), Step(-1.0, 0.01), Step(1.0, 0.05)]
    assert len(half_cycles(record_of(steps)).halves) == 1
    assert len(half_cycles(record_of(steps), least_swing_ah=0.005).halves) == 3


def test_noise_about_zero_is_rest() -> None:
    record = record_of([Step(1.0, 0.5), Step(0.0, 2.0), Step(-1.0, 0.5)])
    noise = np.random.default_rng(1).normal(0, 1e-4, record.time_s.size)
    noisy = replace(record, current_a=record.current_a + noise)
    assert [half.ended for half in half_cycles(noisy).halves] == [End.REST, End.RECORD]


def test_a_hold_at_constant_voltage_is_told() -> None:
    charge = record_of([Step(1.0, 0.5)])
    t = np.arange(1.0, 3600.0, 10.0)
    held = CyclingRecord(
        np.concatenate((charge.time_s, charge.time_s[-1] + t)),
        np.concatenate((charge.voltage_v, np.full(t.size, charge.voltage_v[-1]))),
        np.concatenate((charge.current_a, np.exp(-t / 600.0))),
    )
    (half,) = half_cycles(held).halves
    fell = 600 * (1 - np.exp(-3599.0 / 600)) / 3600
    assert half.held_ah == pytest.approx(fell, rel=0.02)
    assert half.capacity_ah == pytest.approx(0.5 + fell, rel=1e-3)


def test_what_the_ends_of_steps_may_hide_is_bounded() -> None:
    """Points each ten minutes and none at the end of a step: the truth lies within the bound."""
    t = np.arange(0, 24 * 3600.0, 600.0)
    phase = ((t - 250.0) // 7100).astype(int)
    current = np.where(phase % 2 == 0, 1.0, -1.0)
    soc = 0.5 + np.cumsum(current) * 600 / 3600 / 10
    found = half_cycles(CyclingRecord(t, 3 + soc, current))
    for half in found.halves[1:-1]:
        assert abs(half.capacity_ah - 7100 / 3600) <= half.edge_ah
        assert 0.1 < half.edge_ah < 0.4


def test_a_current_of_the_wrong_sign_is_refused_by_row() -> None:
    record = record_of([Step(1.0, 0.4), Step(0.0, 0.1), Step(-1.0, 0.4)])
    with pytest.raises(DataRefused, match=r"rows \d+ to \d+, Current / A.*sign of the current is reversed"):
        half_cycles(replace(record, current_a=-record.current_a))


def test_a_symmetric_cell_may_charge_while_its_voltage_falls() -> None:
    """Lithium against lithium: 50 mV of overpotential that falls to 30 mV in each half cycle."""
    t = np.arange(0.0, 4 * 3600.0, 10.0)
    way = np.where((t // 3600) % 2 == 0, 1.0, -1.0)
    voltage = way * (0.05 - 0.02 * (t % 3600) / 3600)
    assert len(half_cycles(CyclingRecord(t, voltage, 1e-3 * way)).halves) == 4
    with pytest.raises(DataRefused, match="sign of the current is reversed"):
        half_cycles(CyclingRecord(t, np.sign(voltage) * (0.1 - np.abs(voltage)), -1e-3 * way))


def test_a_record_at_rest_is_refused() -> None:
    t = np.arange(10.0)
    with pytest.raises(DataRefused, match="no current"):
        half_cycles(CyclingRecord(t, np.full(10, 3.7), np.zeros(10)))
    with pytest.raises(DataRefused, match="no current above 2 A"):
        half_cycles(record_of([Step(1.0, 0.4)]), rest_current_a=2.0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_limits_that_are_none_are_refused(value: float) -> None:
    record = record_of([Step(1.0, 0.4)])
    with pytest.raises(DataRefused, match="rest current"):
        half_cycles(record, rest_current_a=value)
    with pytest.raises(DataRefused, match="least swing"):
        half_cycles(record, least_swing_ah=value)


def test_a_single_point_holds_no_cycle() -> None:
    one = CyclingRecord(np.zeros(1), np.full(1, 3.7), np.ones(1))
    with pytest.raises(DataRefused, match="never turns"):
        half_cycles(one)


def test_directions_have_the_signs_of_bdf() -> None:
    assert (Direction.CHARGE.sign, Direction.DISCHARGE.sign) == (1, -1)
