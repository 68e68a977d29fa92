"""Kramers-Kronig: what is stationary passes, what drifted or is written with the sign turned does not."""

from __future__ import annotations

import numpy as np
import pytest
from impedance_files import arcs, grid, noisy

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.eis.kramerskronig import Validity, kramers_kronig
from poliqi.lab.echem.spectrum import Spectrum

F = grid()
CELL = ((0.01, 1e-3, 0.9), (0.02, 0.05, 0.85), (0.015, 5.0, 0.9))


def spectrum(z: np.ndarray, *, is_rising: bool = False) -> Spectrum:
    return Spectrum(F, z.astype(np.complex128), title="cell", is_rising=is_rising)


def drifting(share: float) -> np.ndarray:
    """Every resistance grows evenly with the time that the sweep takes, every point as many periods."""
    time = np.cumsum(1 / F)
    time = (time - time[0]) / (time[-1] - time[0])
    growth = 1 + share * time
    z = np.array([0.01 + 0j] * F.size)
    for resistance, tau, exponent in CELL:
        capacity = tau**exponent / resistance  # Q stays, so that tau moves with R
        now = resistance * growth
        z += now / (1 + now * capacity * (2j * np.pi * F) ** exponent)
    return z


def test_without_noise_nothing_is_left() -> None:
    test = kramers_kronig(spectrum(arcs(F, *CELL)))
    assert test.rms < 1e-4
    assert test.validity is Validity.VALID


@pytest.mark.parametrize(
    ("share", "found"), [(0.001, Validity.VALID), (0.01, Validity.DOUBTFUL), (0.03, Validity.INVALID)]
)
def test_what_is_left_is_the_noise(share: float, found: Validity) -> None:
    test = kramers_kronig(spectrum(noisy(arcs(F, *CELL), share, 1)))
    assert test.rms == pytest.approx(share * 2**0.5, rel=0.2)  # two parts, fewer by what the model takes up
    assert test.validity is found


def test_a_drifted_spectrum_fails_although_its_residual_is_small() -> None:
    test = kramers_kronig(spectrum(noisy(drifting(0.25), 0.001, 2)))
    assert test.rms < 0.01  # the test alone would let it pass
    assert test.validity is Validity.INVALID
    assert test.drift > 5 * test.drift_sigma
    assert any("drifted" in reason for reason in test.reasons)


def test_no_drift_is_told_where_there_is_none() -> None:
    told = [kramers_kronig(spectrum(noisy(arcs(F, *CELL), 0.002, seed))) for seed in range(30)]
    assert all(test.validity is Validity.VALID and not test.reasons for test in told)
    assert np.std([test.drift / test.drift_sigma for test in told]) == pytest.approx(1, abs=0.35)


@pytest.mark.parametrize("is_rising", [False, True])
def test_an_even_change_of_all_of_z_is_found_with_its_size_and_sign(is_rising: bool) -> None:
    time = np.cumsum(1 / F)
    time = (time - time[0]) / (time[-1] - time[0])
    if is_rising:  # from the lowest frequency up the last points come at the end of the time
        time = 1 - time
    test = kramers_kronig(spectrum(noisy(arcs(F, *CELL) * (1 + 0.05 * time), 0.001, 3), is_rising=is_rising))
    assert test.drift == pytest.approx(0.05, abs=4 * test.drift_sigma + 0.0025)  # to first order in the drift
    assert test.drift_sigma < 0.01


@pytest.mark.parametrize("decades", [4, 6])
def test_three_points_a_decade_are_enough(decades: int) -> None:
    f = grid(1e4, 10.0 ** (4 - decades), 3 * decades + 1)
    for seed in range(5):
        z = noisy(arcs(f, (0.02, 1e-3, 1.0), (0.03, 0.02, 1.0)), 0.002, seed)
        assert kramers_kronig(Spectrum(f, z, title="sparse")).validity is Validity.VALID


def test_a_single_bad_point_is_named() -> None:
    z = noisy(arcs(F, *CELL), 0.001, 4)
    z[30] *= 1.4
    test = kramers_kronig(spectrum(z))
    assert test.validity is Validity.INVALID
    assert f"{F[30]:.3g} Hz" in test.reasons[0]


def test_im_z_with_its_sign_turned_is_refused() -> None:
    with pytest.raises(DataRefused, match="-Im Z where Im Z is said"):
        kramers_kronig(spectrum(noisy(arcs(F, *CELL), 0.002, 5).conj()))


def test_an_inductive_cell_is_not_taken_for_turned() -> None:
    z = noisy(arcs(F, *CELL) + 2j * np.pi * F * 3e-7, 0.002, 6)
    assert z.imag.max() > 0
    assert kramers_kronig(spectrum(z)).validity is Validity.VALID


def test_a_blocking_electrode_passes() -> None:
    z = noisy(0.01 + 1 / (2j * np.pi * F * 20.0), 0.002, 7)
    assert kramers_kronig(spectrum(z)).validity is Validity.VALID


def test_a_point_of_no_impedance_is_refused() -> None:
    z = arcs(F, *CELL)
    z[3] = 0
    with pytest.raises(DataRefused, match=r"point 4 at .* no impedance"):
        kramers_kronig(spectrum(z))


def test_too_few_points_are_refused() -> None:
    with pytest.raises(DataRefused, match="5 frequencies; Kramers-Kronig needs 6"):
        kramers_kronig(Spectrum(F[:5], arcs(F[:5], *CELL), title="cell"))
