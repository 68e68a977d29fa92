"""Continuous variables and the untrusted hub: closed forms against spectra, quadrature and counted photons."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from poliqi.base.errors import ConfigError
from poliqi.optics.cvqkd import CvLink, cv_at_length, cv_rate, symplectic_eigenvalues
from poliqi.optics.mdi import MdiLink, mdi_at_length, mdi_rate, relay
from poliqi.optics.parameters import Detector, DetectorKind, Fibre

CV = CvLink("cv", Fibre(25e3, 0.2), 1e8, 0.01, 0.6, 0.05, 0.95, 4.0)
HUB = MdiLink("hub", Fibre(50e3, 0.2), Detector(DetectorKind.SNSPD, 0.8, dark_rate_hz=100.0), 1e9)

# ---------------------------------------------------------------- continuous variables


def spectrum(covariance: np.ndarray) -> list[float]:
    """Symplectic eigenvalues, largest first: moduli of the eigenvalues of i Omega gamma, each of which comes
    twice.
    """
    modes = len(covariance) // 2
    omega = np.kron(np.eye(modes), [[0, 1], [-1, 0]])
    return sorted(np.abs(np.linalg.eigvals(1j * omega @ covariance)), reverse=True)[::2]


def entropy(values: list[float]) -> float:
    return sum(
        (v + 1) / 2 * math.log2((v + 1) / 2) - (v - 1) / 2 * math.log2((v - 1) / 2) for v in values if v > 1 + 1e-12
    )


def holevo_of_matrices(v: float, t: float, xi: float, eta: float, v_el: float) -> tuple[list[float], list[float]]:
    """Spectra of Alice's and Bob's state and of what is left of it once Bob has measured, his receiver purified.

    The receiver: a beam splitter of transmission eta whose other input is half of an entangled pair of variance
    1 + 2 v_el/(1 - eta); then heterodyne detection, a projection on a coherent state.
    """
    one, flip = np.eye(2), np.diag([1.0, -1.0])
    b, c = t * (v + 1 / t - 1 + xi), math.sqrt(t * (v * v - 1))
    shared = np.block([[v * one, c * flip], [c * flip, b * one]])
    w = 1 + 2 * v_el / (1 - eta)
    d = math.sqrt(w * w - 1)
    whole = np.zeros((8, 8))
    whole[:4, :4], whole[4:, 4:] = shared, np.block([[w * one, d * flip], [d * flip, w * one]])
    mix = np.eye(8)
    root, rest = math.sqrt(eta) * one, math.sqrt(1 - eta) * one
    mix[2:4, 2:4], mix[2:4, 4:6], mix[4:6, 2:4], mix[4:6, 4:6] = root, rest, -rest, root
    whole = mix @ whole @ mix.T
    keep, bob = [0, 1, 4, 5, 6, 7], [2, 3]
    cross = whole[np.ix_(keep, bob)]
    left = whole[np.ix_(keep, keep)] - cross @ np.linalg.inv(whole[np.ix_(bob, bob)] + one) @ cross.T
    return spectrum(shared), spectrum(left)


@pytest.mark.parametrize("v", [1.5, 5.0, 40.0])
@pytest.mark.parametrize("t", [0.9, 0.3, 0.01])
@pytest.mark.parametrize(("xi", "eta", "v_el"), [(0.01, 0.6, 0.05), (0.0, 0.9, 0.0), (0.1, 0.4, 0.3)])
def test_symplectic_eigenvalues_are_those_of_the_covariance_matrices(
    v: float, t: float, xi: float, eta: float, v_el: float
) -> None:
    before, after = holevo_of_matrices(v, t, xi, eta, v_el)
    first, second, third, fourth = symplectic_eigenvalues(v, t, xi, eta, v_el)
    assert sorted([first, second], reverse=True) == pytest.approx(before, rel=1e-6)
    assert sorted([third, fourth, 1.0], reverse=True) == pytest.approx(after, rel=1e-6)


def test_the_rate_is_what_the_spectra_leave_of_the_mutual_information() -> None:
    t = 10 ** (-0.5)
    before, after = holevo_of_matrices(5.0, t, 0.01, 0.6, 0.05)
    # heterodyne: Bob's outcome has the signal t eta V_A beside noise of 2 vacua, xi and electronics, in each
    # quadrature
    mutual = math.log2(1 + 0.6 * t * 4.0 / (2 + 0.6 * t * 0.01 + 2 * 0.05))
    found = cv_rate(CV)
    assert found.mutual_bits == pytest.approx(mutual, rel=1e-12)
    assert found.holevo_bits == pytest.approx(entropy(before) - entropy(after), rel=1e-6)
    assert found.rate_hz == pytest.approx(1e8 * (0.95 * found.mutual_bits - found.holevo_bits))


@pytest.mark.parametrize("t", [0.9, 0.5, 0.1])
def test_endless_modulation_over_pure_loss_gives_the_published_limit(t: float) -> None:
    """log2(t/(e (1-t))) + s((2-t)/t): Pirandola et al., Adv. Opt. Photon. 12, 1012 (2020), no-switching,
    reverse.
    """
    ideal = CvLink("ideal", Fibre(0.0, connectors_db=-10 * math.log10(t)), 1.0, 0.0, 1.0, 0.0, 1.0, 1e5)
    limit = math.log2(t / (math.e * (1 - t))) + entropy([(2 - t) / t])
    assert cv_rate(ideal).key_bits == pytest.approx(limit, abs=1e-3)
    assert limit < -math.log2(1 - t)  # no protocol beats this (Pirandola, Laurenza, Ottaviani, Banchi 2017)


def test_the_best_modulation_is_a_maximum() -> None:
    best = cv_rate(replace(CV, modulation=None))
    for factor in (0.8, 0.95, 1.05, 1.25):
        assert cv_rate(replace(CV, modulation=best.modulation * factor)).key_bits < best.key_bits


def test_more_noise_less_reconciliation_and_more_fibre_cost_key() -> None:
    own = cv_rate(CV).key_bits
    assert cv_rate(replace(CV, excess_noise=0.03)).key_bits < own
    assert cv_rate(replace(CV, reconciliation=0.9)).key_bits < own
    assert cv_rate(cv_at_length(CV, 40e3)).key_bits < own
    assert cv_rate(replace(CV, excess_noise=0.5)).rate_hz == 0.0


# ---------------------------------------------------------------- the hub


def announced(silent: list[float]) -> tuple[float, float]:
    """(same port, opposite ports): exactly two of H1, V1, H2, V2 click, one H and one V."""

    def only(*clicked: int) -> float:
        return math.prod(1 - q if at in clicked else q for at, q in enumerate(silent))

    return only(0, 1) + only(2, 3), only(0, 3) + only(1, 2)


def interfered(
    a: float, b: float, p: float, alice: tuple[float, float], bob: tuple[float, float]
) -> tuple[float, float]:
    """The same of coherent pulses of polarisations `alice` and `bob`, averaged over their phase by quadrature."""
    total = np.zeros(2)
    phases = np.arange(400) * 2 * math.pi / 400
    for phase in phases:
        silent: list[float] = []
        for sign in (1, -1):
            for axis in (0, 1):
                field = math.sqrt(a) * alice[axis] + sign * math.sqrt(b) * bob[axis] * np.exp(1j * phase)
                silent.append((1 - p) * math.exp(-(abs(field) ** 2) / 2))
        total += announced(silent)
    return tuple(total / len(phases))  # type: ignore[return-value]


@pytest.mark.parametrize(("a", "b", "p"), [(0.3, 0.3, 1e-3), (0.05, 0.4, 1e-6), (1.2, 0.7, 0.02)])
def test_gains_of_the_hub_are_those_of_interfering_pulses(a: float, b: float, p: float) -> None:
    h, v, half = (1.0, 0.0), (0.0, 1.0), math.sqrt(0.5)
    plus, minus = (half, half), (half, -half)
    found = relay((a, b), (0.1, 0.1), p, 0.0)
    same, other = sum(interfered(a, b, p, h, h)), sum(interfered(a, b, p, h, v))
    assert found.gain_z == pytest.approx((same + other) / 2, rel=1e-6)
    assert found.error_z * found.gain_z == pytest.approx(same / 2, rel=1e-6)
    equal, unequal = interfered(a, b, p, plus, plus), interfered(a, b, p, plus, minus)
    assert found.gain_x == pytest.approx((sum(equal) + sum(unequal)) / 2, rel=1e-6)
    assert found.error_x * found.gain_x == pytest.approx((equal[1] + unequal[0]) / 2, rel=1e-6)


def test_misalignment_turns_right_into_wrong_in_the_key_basis() -> None:
    straight, turned = relay((0.3, 0.3), (0.1, 0.1), 1e-6, 0.0), relay((0.3, 0.3), (0.1, 0.1), 1e-6, 0.02)
    assert turned.gain_z == straight.gain_z
    assert turned.error_z == pytest.approx(straight.error_z + 0.02 * (1 - 2 * straight.error_z))


@pytest.mark.parametrize(("s", "t", "p"), [(0.3, 0.3, 1e-4), (0.8, 0.05, 1e-2), (1.0, 1.0, 0.0)])
def test_yield_of_single_photons_is_that_of_counted_photons(s: float, t: float, p: float) -> None:
    """Photons of opposite polarisation do not interfere and take either port; of one polarisation they bunch."""
    ports = [0, 1]

    def success(photons: list[int]) -> float:
        silent = [1 - p] * 4
        for at in photons:
            silent[at] = 0.0
        return sum(announced(silent))

    # Z: H and V, and H and H; index 2 port + polarisation
    unlike = np.mean([success([2 * i, 2 * j + 1]) for i, j in product(ports, ports)])
    like = np.mean([success([2 * i, 2 * i]) for i in ports])
    one = success([0])
    lone = s * (1 - t) * one + t * (1 - s) * one + (1 - s) * (1 - t) * success([])
    expected = s * t * (unlike + like) / 2 + lone
    found = relay((s, t), (s, t), p, 0.0)
    assert found.yield_11 == pytest.approx(expected, rel=1e-9)
    # X: one photon too many gives no error of interference; wrong are dark counts alone
    assert found.error_11 * found.yield_11 == pytest.approx(
        (found.yield_11 - (1 - p) ** 2 * s * t / 2) / 2, abs=1e-15
    )


def test_far_apart_the_hub_in_the_middle_is_best() -> None:
    far = mdi_at_length(HUB, 300e3)
    assert (
        mdi_rate(far).rate_hz
        > mdi_rate(replace(far, place=0.3)).rate_hz
        > mdi_rate(replace(far, place=0.1)).rate_hz
    )


def test_the_best_intensities_are_a_maximum() -> None:
    middle = mdi_rate(HUB)
    mu = middle.intensities[0]
    assert middle.intensities[1] == mu
    for factor in (0.9, 1.1):
        assert mdi_rate(replace(HUB, intensities=(mu * factor,) * 2)).key_bits < middle.key_bits
    aside = mdi_rate(replace(HUB, place=0.2))
    for end in (0, 1):
        tried = list(aside.intensities)
        tried[end] *= 1.05
        assert mdi_rate(replace(HUB, place=0.2, intensities=(tried[0], tried[1]))).key_bits < aside.key_bits


def test_a_hub_too_far_away_gives_nothing() -> None:
    assert mdi_rate(mdi_at_length(HUB, 600e3)).rate_hz == 0.0


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        (CV, {"excess_noise": -1.0}, "cv_qkd.excess_noise"),
        (CV, {"efficiency": 0.0}, "cv_qkd.efficiency"),
        (CV, {"modulation": math.inf}, "cv_qkd.modulation"),
        (HUB, {"misalignment": 0.6}, "mdi.misalignment"),
        (HUB, {"intensities": (0.0, 0.3)}, "mdi.intensities"),
        (HUB, {"place": math.nan}, "mdi.place"),
    ],
)
def test_what_is_out_of_range_is_refused(model: CvLink | MdiLink, change: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        replace(model, **change)  # type: ignore[arg-type]
