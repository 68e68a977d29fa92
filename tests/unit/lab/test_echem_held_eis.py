"""Impedance: scatter against error bars, two crossings, small and doubtful drifts, and minima that are doubtful."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from impedance_files import arcs, grid, noisy

from poliqi.lab.echem.eis import analysis
from poliqi.lab.echem.eis.analysis import Wanted, analyse, arcs_of, intercept_ohm
from poliqi.lab.echem.eis.circuit import parse_circuit
from poliqi.lab.echem.eis.circuitfit import CircuitFit, fit_circuit
from poliqi.lab.echem.eis.drawing import page_of
from poliqi.lab.echem.eis.kramerskronig import Validity, kramers_kronig
from poliqi.lab.echem.eis.relaxation import relaxation_times
from poliqi.lab.echem.spectrum import Spectrum
from poliqi.lab.onepage import page_bytes

F = grid(1e4, 0.01, 40)
ROUND = (0.02, 0.05, 1.0)


def spectrum(z: np.ndarray) -> Spectrum:
    return Spectrum(F, z.astype(np.complex128), title="cell")


def test_time_constant_and_capacitance_scatter_as_their_errors_say() -> None:
    true, circuit = arcs(F, (0.02, 0.05, 0.9)), parse_circuit("R-(R|CPE)")
    relaxation = relaxation_times(spectrum(true))
    fits = (
        fit_circuit(spectrum(noisy(true, 0.003, seed)), circuit, relaxation, is_rough=True) for seed in range(30)
    )
    found = [arcs_of(fit)[0] for fit in fits]
    for name, value in (("tau_s", 0.05), ("capacitance_f", 0.05 / 0.02)):
        told = [getattr(one, name) for one in found]
        sigma = float(np.mean([one.sigma for one in told]))
        assert float(np.std([one.value for one in told])) == pytest.approx(sigma, rel=0.35)
        assert float(np.mean([one.value for one in told])) == pytest.approx(value, abs=sigma)


def test_the_capacitance_of_a_round_arc_is_that_of_its_capacitor() -> None:
    true = arcs(F, ROUND)
    fit = fit_circuit(
        spectrum(noisy(true, 0.003, 1)), parse_circuit("R-(R|C)"), relaxation_times(spectrum(true)), is_rough=True
    )
    capacitor, (arc,) = fit.quantity("C1"), arcs_of(fit)
    assert capacitor is not None
    assert arc.capacitance_f.value == pytest.approx(capacitor.value)
    assert arc.capacitance_f.sigma == pytest.approx(capacitor.sigma)


def test_of_two_crossings_the_slower_one_is_the_intercept() -> None:
    z = np.array([1 + 3j, 2 - 1j, 3 + 2j, 4 - 2j, 5 - 4j])
    assert intercept_ohm(Spectrum(np.logspace(4, 0, 5), z, title="two")) == pytest.approx(3.5)


def drifted(share: float, noise: float, seed: int) -> Any:
    time = np.cumsum(1 / F)
    time = (time - time[0]) / (time[-1] - time[0])
    return kramers_kronig(spectrum(noisy(arcs(F, (0.01, 1e-3, 0.9), ROUND) * (1 + share * time), noise, seed)))


def test_a_drift_of_half_the_limit_is_told_and_passes() -> None:
    test = drifted(0.01, 2e-4, 1)
    assert 0.005 < test.drift < 0.02
    assert test.validity is Validity.VALID
    assert any("the cell drifted" in one and "below 2 %" in one for one in test.reasons)


def test_a_drift_above_the_limit_by_four_sigma_is_doubtful_and_no_failure() -> None:
    test = drifted(0.04, 0.004, 0)
    assert 3.5 < test.drift / test.drift_sigma < 4.5
    assert test.drift > 0.02
    assert test.validity is Validity.DOUBTFUL
    (told,) = [one for one in test.reasons if "the cell drifted" in one]
    assert told.endswith("above 2 %, by less than 5 sigma: let it rest, or sweep faster")


def test_the_page_tells_areas_and_what_is_simulated() -> None:
    told = replace(spectrum(noisy(arcs(F, ROUND), 0.002, 2)), area_m2=2e-4, simulated=True)
    page = page_of(analyse(told, Wanted(circuits=("R-(R|C)",))))
    words = page_bytes(replace(page, panels=()), ".html").decode()
    assert "<td>2 cm2" in words
    assert "ohm cm2" in words
    assert "<p class=simulated>" in words
    assert [one.title for one in page.panels][:2] == ["Nyquist", "Bode"]


def test_a_minimum_that_one_start_alone_reached_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fitted(*words: Any, **more: Any) -> CircuitFit:
        return replace(fit_circuit(*words, **more, starts=1), starts=4)

    monkeypatch.setattr(analysis, "fit_circuit", fitted)
    told = analyse(spectrum(noisy(arcs(F, ROUND), 0.002, 2)), Wanted(circuits=("R-(R|C)",))).cautions
    assert "of 4 starts one alone reached this minimum; there may be a better one" in told


def test_circuits_that_follow_alike_are_not_decided_between() -> None:
    told = analyse(spectrum(noisy(arcs(F, ROUND), 0.002, 2)), Wanted(circuits=("R-(R|C)", "R-(C|R)"))).cautions
    assert any("the points do not decide between" in one for one in told)
    plain = analyse(spectrum(noisy(arcs(F, ROUND), 0.002, 2)), Wanted(circuits=("R-(R|C)", "R-C"))).cautions
    assert not any("do not decide between" in one for one in plain)
