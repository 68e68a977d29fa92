"""Reversible and thermoneutral voltage, vapour pressures: against tabulated values."""

from __future__ import annotations

import numpy as np
import pytest

from poliqi.lab.echem.polarisation.water import (
    lye_vapour_pa,
    lye_water_activity,
    saturation_pa,
    standard_voltage,
    thermoneutral_voltage,
)

K = 273.15


@pytest.mark.parametrize(
    ("celsius", "gibbs_j_mol"),
    [
        (25, 237_130),
        (80, 228_200),
        (100, 225_200),
    ],  # of liquid water, Larminie and Dicks, Fuel Cell Systems, tab. 2.1
)
def test_reversible_voltage_is_that_of_tabulated_gibbs_energies(celsius: float, gibbs_j_mol: float) -> None:
    assert float(standard_voltage(np.array(celsius + K))) == pytest.approx(gibbs_j_mol / 2 / 96485.33, abs=1.5e-3)


def test_thermoneutral_voltage_is_that_of_the_enthalpy_of_formation() -> None:
    assert float(thermoneutral_voltage(np.array(298.15))) == pytest.approx(285_830 / 2 / 96485.33, abs=1e-3)


@pytest.mark.parametrize(
    ("celsius", "kilopascal"),
    [(25, 3.1698), (60, 19.946), (80, 47.414), (100, 101.42)],  # IAPWS-95 steam tables
)
def test_saturation_is_that_of_steam_tables(celsius: float, kilopascal: float) -> None:
    assert float(saturation_pa(np.array(celsius + K))) == pytest.approx(kilopascal * 1e3, rel=1e-3)


def test_lye_without_potash_is_water() -> None:
    t = np.array([300.0, 350.0])
    assert lye_vapour_pa(t, np.zeros(2)) == pytest.approx(saturation_pa(t))
    assert lye_water_activity(t, np.zeros(2)) == pytest.approx(np.ones(2))


@pytest.mark.parametrize("celsius", [30, 50, 80])
def test_vapour_over_lye_agrees_with_the_activity_of_its_water(celsius: float) -> None:
    """Two correlations of the same paper that know nothing of each other: Raoult's law with activity."""
    t, w = np.array(celsius + K), np.array(0.30)
    assert float(lye_vapour_pa(t, w) / saturation_pa(t)) == pytest.approx(float(lye_water_activity(t, w)), rel=0.06)
