"""Gases and reversible voltage of the model against arithmetic by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from polarisation_curves import NOMINAL

from poliqi.lab.echem.polarisation.curve import Conditions, Device
from poliqi.lab.echem.polarisation.model import operation_at, reversible_voltage


def test_the_reversible_voltage_over_lye() -> None:
    """80 degC, 1 bar on both sides, 30 % KOH.

    E0 = 1.18339 V (LeRoy et al.), RT/2F = 15.216 mV. 7.639 mol/kg: activity of water 0.61429, vapour 0.29265 bar
    (Balej), so 0.70735 bar of each gas: 1.18339 V + 15.216 mV ln(0.70735 * 0.70735^0.5 / 0.61429).
    """
    lye = Conditions(353.15, 1e5, 1e5, koh_mass_fraction=0.30)
    assert reversible_voltage(Device.ALKALINE_ELECTROLYSER, lye) == pytest.approx(1.18290, abs=5e-5)


def test_gases_of_a_fuel_cell_whose_outlet_is_not_saturated() -> None:
    """80 degC (saturated vapour 0.47414 bar), cathode 2 bar of air at 20 %, 3 times what reacts; anode 2.2 bar.

    For each mol of oxygen that reacts 3 / 0.2095 = 14.320 mol of dry air enter, with 14.320 * 0.094828 / (2 -
    0.094828) = 0.71276 mol of vapour. With 2 mol more 13.320 mol leave: vapour 2 * 2.71276 / 16.0326 = 0.33841 bar.
    Oxygen enters at 0.2095 * 1.905172 = 0.39913 bar, leaves at 2 / 13.320 * 1.66159 = 0.24949 bar; logarithmic mean
    0.14964 / ln(1.5998) = 0.31848 bar. Hydrogen, 70 %: 0.7 * (2.2 - 0.398 * 0.47414) = 1.40790 bar.
    E0 + RT/2F (ln 1.40790 + ln(0.31848) / 2) = 1.18339 + 0.015216 * (0.34210 - 0.57210) V = 1.17989 V.
    """
    hot = replace(NOMINAL, temperature_k=353.15, cathode_humidity=0.2, cathode_stoichiometry=3.0)
    at = operation_at(Device.FUEL_CELL, hot, np.array([1e4]))
    assert float(at.log_activity[0]) == pytest.approx(np.log(0.31848), abs=5e-4)
    assert float(at.reversible_v[0]) == pytest.approx(1.17989, abs=5e-5)
