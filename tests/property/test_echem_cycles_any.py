"""Any record: charge is neither lost nor invented, directions take turns, units scale."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.cycling.cycles import cycles
from poliqi.lab.echem.cycling.differential import incremental_capacity
from poliqi.lab.echem.cycling.halfcycles import half_cycles
from poliqi.lab.echem.record import CyclingRecord

CURRENTS = st.lists(st.sampled_from([-2.0, -1.0, -0.5, 0.0, 1e-4, 0.5, 1.0, 3.0]), min_size=2, max_size=60)


def record_from(currents: list[float], gap_s: float = 10.0) -> CyclingRecord:
    """A cell of 1 V for each coulomb: its voltage says what charge it holds."""
    i = np.array(currents)
    t = gap_s * np.arange(i.size)
    return CyclingRecord(t, 3 + np.concatenate((np.zeros(1), np.cumsum(i[1:] * gap_s))) / 10, i)


@given(CURRENTS)
def test_half_cycles_take_turns_and_keep_the_charge(currents: list[float]) -> None:
    record = record_from(currents)
    try:
        found = half_cycles(record)
    except DataRefused:
        return
    ways = [half.direction for half in found.halves]
    assert all(a is not b for a, b in pairwise(ways))
    assert all(half.capacity_ah >= found.least_swing_ah * (1 - 1e-9) for half in found.halves)
    assert all(a.last < b.first for a, b in pairwise(found.halves))
    net = sum(half.capacity_ah * half.direction.sign for half in found.halves) * 3600
    i = np.where(np.abs(record.current_a) > found.rest_current_a, record.current_a, 0.0)
    same = np.sign(i[1:]) == np.sign(i[:-1])
    whole = float((np.where(same, (i[1:] + i[:-1]) / 2, i[1:]) * 10).sum())
    assert abs(net - whole) <= found.outside_ah * 3600 + 1e-9


@given(CURRENTS, st.integers(-20, 20).map(lambda power: 2.0**power))
def test_a_cell_of_another_size_has_the_same_cycles(currents: list[float], factor: float) -> None:
    record = record_from(currents)
    try:
        small = cycles(record)
    except DataRefused:
        return
    large = cycles(replace(record, current_a=record.current_a * factor))
    assert [one.number for one in large.cycles] == [one.number for one in small.cycles]
    for a, b in zip(small.cycles, large.cycles, strict=True):
        assert b.coulombic_efficiency == (
            None if a.coulombic_efficiency is None else pytest.approx(a.coulombic_efficiency, rel=1e-9)
        )


@given(st.lists(st.floats(0.1, 2.0), min_size=3, max_size=200), st.floats(0.05, 0.4))
def test_dq_dv_integrates_to_the_charge_whatever_the_current_does(currents: list[float], step_v: float) -> None:
    record = record_from(currents)
    found = half_cycles(record)
    try:
        curve = incremental_capacity(
            record, found.halves[0], found.rest_current_a, step_v=step_v, window=3, order=1
        )
    except DataRefused:
        return
    assert curve.integral_ah + curve.held_ah == pytest.approx(found.halves[0].capacity_ah, rel=1e-6)
