"""Active areas whose charge and errors follow by hand: triangles, tilted and turned double layers."""

from __future__ import annotations

import numpy as np
import pytest
from swept_electrodes import LAYER_F, RATE

from poliqi.lab.echem.polarisation.curve import Conditions, Device
from poliqi.lab.echem.polarisation.model import reversible_voltage
from poliqi.lab.echem.polarisation.water import lye_vapour_pa, lye_water_activity, standard_voltage
from poliqi.lab.echem.voltammetry.activearea import area_by_co, area_by_hydrogen
from poliqi.lab.echem.voltammetry.voltammogram import Voltammogram

LIMITS, LAYER, PEAK_A = (0.1, 0.3), (0.45, 0.6), 4e-4
UP = np.arange(0.0, 1.2, 0.001)


def swept(*ups: np.ndarray) -> Voltammogram:
    """Sweeps up with these currents, and without any down."""
    down = np.zeros(UP.size)
    e = np.concatenate([np.concatenate((UP, UP[::-1] + 0.001)) for _ in ups])
    i = np.concatenate([np.concatenate((up, down)) for up in ups])
    return Voltammogram(e, i, RATE, "stated", None, 0.0, np.arange(1, e.size + 1), "cv")


def triangle(middle_v: float) -> np.ndarray:
    """0.4 V wide at its foot."""
    return PEAK_A * np.maximum(1 - np.abs(UP - middle_v) / 0.2, 0)


def test_limits_within_a_triangle_move_its_charge_by_half_of_its_height() -> None:
    found = area_by_hydrogen(swept(LAYER_F * RATE + triangle(0.2)), limits_v=LIMITS, double_layer_v=LAYER)
    assert found.values["charge"].value == pytest.approx(0.75 * PEAK_A * 0.2 / RATE, rel=1e-3)
    each = 0.5 * (PEAK_A / 2) * 0.02 / RATE  # 10 mV either way where the current is half of the peak's
    assert found.parts_c["limits"] == pytest.approx(np.sqrt(2) * each, rel=1e-3)
    assert found.parts_c["tilt of the double layer"] == pytest.approx(0, abs=1e-12)
    assert found.values["charge"].sigma == pytest.approx(np.sqrt(2) * each, rel=1e-3)


def test_a_tilted_double_layer_moves_the_charge_by_half_of_its_rise() -> None:
    tilted = LAYER_F * RATE + 1e-4 * (UP - 0.525)
    found = area_by_hydrogen(swept(tilted + triangle(0.2)), limits_v=LIMITS, double_layer_v=LAYER)
    rise = 1e-4 * (LAYER[1] - LAYER[0])
    assert found.parts_c["tilt of the double layer"] == pytest.approx(0.5 * rise * 0.2 / RATE, rel=0.02)


def test_sweeps_that_are_apart_all_along_leave_half_of_that_in_doubt() -> None:
    apart = 1e-5
    bare = np.full(UP.size, LAYER_F * RATE)
    found = area_by_co(swept(bare + triangle(0.75) + apart, bare), limits_v=(0.5, 1.0))
    assert found.parts_c["baselines apart at the ends"] == pytest.approx(apart * 0.5 / RATE / 2, rel=1e-3)
    assert found.values["charge"].value == pytest.approx((0.2 * PEAK_A + 0.5 * apart) / RATE, rel=1e-3)


def test_a_double_layer_of_the_wrong_sign_is_told() -> None:
    found = area_by_hydrogen(swept(triangle(0.2) - LAYER_F * RATE), limits_v=LIMITS, double_layer_v=LAYER)
    assert any("of the wrong sign for this sweep" in one for one in found.cautions)
    right = area_by_hydrogen(swept(triangle(0.2) + LAYER_F * RATE), limits_v=LIMITS, double_layer_v=LAYER)
    assert not right.cautions


def test_lye_holds_its_water_and_so_takes_more_voltage() -> None:
    """Both gases at 1 bar above their vapour: what is left of Nernst's law is the activity of the water."""
    t, w = np.array([353.15]), np.array([0.3])
    whole_pa = 1e5 + float(lye_vapour_pa(t, w)[0])
    at = Conditions(353.15, whole_pa, whole_pa, koh_mass_fraction=0.3)
    more = -8.314462618 * 353.15 / (2 * 96485.33212) * np.log(float(lye_water_activity(t, w)[0]))
    assert more > 5e-3
    told = reversible_voltage(Device.ALKALINE_ELECTROLYSER, at)
    assert told == pytest.approx(float(standard_voltage(t)[0]) + more, abs=1e-9)
