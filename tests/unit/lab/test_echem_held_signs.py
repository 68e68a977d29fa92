"""The sign of a current: noise says nothing, and counters that agree in part are no proof."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cycler_files import charge_and_discharge, csv_text

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.readers import read_record
from poliqi.lab.echem.readers.signs import evidence

TIME, VOLTAGE, CURRENT = charge_and_discharge()


@pytest.mark.parametrize("seed", range(6))
def test_a_voltage_of_noise_says_nothing_of_the_sign(seed: int) -> None:
    current = np.tile(np.repeat([1.0, -1.0], 5), 100)
    found = evidence(current, 3.7 + np.random.default_rng(seed).normal(0, 0.01, current.size))
    assert found.moved_v > 1
    assert found.agrees is None


def test_counters_that_agree_in_four_fifths_tell_no_sign(tmp_path: Path) -> None:
    step = np.abs(CURRENT) * 10 / 3600
    wrong = np.arange(CURRENT.size) % 5 == 2  # counted on the other counter
    ways = np.where(wrong, -CURRENT, CURRENT)
    charged, discharged = (np.cumsum(np.where(one, step, 0)) for one in (ways > 0, ways < 0))
    names = ("Time(s)", "Voltage(V)", "Current(A)", "Charge Capacity(Ah)", "Discharge Capacity(Ah)")
    path = tmp_path / "cell.csv"
    path.write_text(csv_text(names, TIME, VOLTAGE, CURRENT, charged, discharged))
    with pytest.raises(DataRefused, match="nothing says whether a positive"):
        read_record(path)
