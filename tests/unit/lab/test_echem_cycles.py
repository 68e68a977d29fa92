"""Pairs of half cycles, their efficiencies and what is said of them."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from cycled_cells import Step, cycling, record_of

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.cycling.cyclecautions import cautions
from poliqi.lab.echem.cycling.cycles import COLUMNS, cycle_csv, cycles, per_area, per_mass
from poliqi.lab.echem.cycling.halfcycles import Direction
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.echem.record import CyclingRecord

FIRST_OUT = [Step(-1.0, 0.2), Step(1.0, 0.5), Step(-1.0, 0.45), Step(1.0, 0.5), Step(-1.0, 0.48)]


def test_a_discharge_before_the_first_charge_stands_alone() -> None:
    found = cycles(record_of(FIRST_OUT))
    assert [one.number for one in found.cycles] == [0, 1, 2]
    assert found.cycles[0].coulombic_efficiency is None
    assert found.cycles[0].energy_efficiency is None
    efficiencies = [one.coulombic_efficiency for one in found.cycles[1:]]
    assert efficiencies == pytest.approx([0.45 / 0.5, 0.48 / 0.5], rel=1e-5)
    assert "cycle 0 (discharge) stands without a partner" in cautions(found)[0]


def test_a_negative_electrode_pairs_its_lithiation_with_what_comes_back() -> None:
    found = cycles(record_of(FIRST_OUT), first=Direction.DISCHARGE)
    assert [one.number for one in found.cycles] == [1, 2, 3]
    assert found.cycles[0].coulombic_efficiency == pytest.approx(0.5 / 0.2, rel=1e-5)
    assert found.cycles[1].coulombic_efficiency == pytest.approx(0.5 / 0.45, rel=1e-5)
    assert found.cycles[2].coulombic_efficiency is None


def test_energy_efficiency_and_the_gap_follow_from_the_resistance() -> None:
    """50 mohm: charge and discharge at 1 A stand 100 mV apart."""
    found = cycles(record_of([Step(1.0, 0.4), Step(-1.0, 0.4)]))
    (one,) = found.cycles
    assert one.voltage_gap_v == pytest.approx(0.1, abs=1e-5)
    assert one.energy_efficiency == pytest.approx((3.7 - 0.05) / (3.7 + 0.05), rel=1e-5)


def test_the_cyclers_own_counter_is_not_used() -> None:
    record = cycling([0.0, 0.0, 0.0])
    nonsense = replace(record, file_cycle=np.arange(record.time_s.size))
    assert len(cycles(nonsense).cycles) == 3


def test_a_record_that_ends_early_says_so() -> None:
    found = cycles(record_of([Step(1.0, 0.4), Step(-1.0, 0.4), Step(1.0, 0.4), Step(-1.0, 0.2)]))
    assert any("the last discharge may be unfinished" in one for one in cautions(found))
    whole = cycles(record_of([Step(1.0, 0.4), Step(-1.0, 0.4), Step(1.0, 0.4), Step(-1.0, 0.4)]))
    assert cautions(whole) == []


def test_a_gap_is_named_by_its_row() -> None:
    record = record_of([Step(1.0, 0.5), Step(-1.0, 0.5)])
    keep = (record.time_s < 120) | (record.time_s > 1500)
    columns = (record.time_s, record.voltage_v, record.current_a)
    found = cycles(CyclingRecord(*(column[keep] for column in columns), rows=np.flatnonzero(keep) + 10))
    assert found.cycles[0].coulombic_efficiency == pytest.approx(1.0, rel=1e-4)
    (told,) = [one for one in cautions(found) if "interpolated" in one]
    assert told.startswith("no row for 1500 s before row 36 while current flows: 83 % of the charge of cycle 1")


def test_the_table_reads_back() -> None:
    found = cycles(record_of(FIRST_OUT))
    head, *rows = csv.reader(io.StringIO(cycle_csv(found).decode()))
    assert tuple(head) == COLUMNS
    assert rows[0][1] == ""
    assert [float(row[2]) for row in rows] == [half.capacity_ah for _, half in found.discharges()]


def test_capacity_per_gram_needs_a_mass() -> None:
    mass = Quantity(0.0125, 0.0001, "g", "balance")
    told = per_mass(0.002, mass)
    assert (told.value, told.sigma, told.unit) == (pytest.approx(160.0), pytest.approx(1.28), "mAh/g")
    with pytest.raises(DataRefused, match="mass of active material is not stated"):
        per_mass(0.002, None)
    with pytest.raises(DataRefused, match="the mass of active material: 0 g; it must be above 0"):
        per_mass(0.002, Quantity(0.0, 0.0, "g"))
    with pytest.raises(DataRefused, match="area is not stated"):
        per_area(0.002, None)
