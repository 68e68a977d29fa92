"""Circuits fitted to spectra of known truth, without guesses: values, doubts, what cannot be told, the choice."""

from __future__ import annotations

import numpy as np
import pytest
from impedance_files import arcs, grid, noisy

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.eis.analysis import Wanted, analyse, findings_of, intercept_ohm
from poliqi.lab.echem.eis.choosing import chosen_circuit
from poliqi.lab.echem.eis.circuit import parse_circuit
from poliqi.lab.echem.eis.circuitfit import CircuitFit, fit_circuit
from poliqi.lab.echem.eis.elements import ELEMENTS
from poliqi.lab.echem.eis.relaxation import relaxation_times
from poliqi.lab.echem.spectrum import Spectrum

F = grid()
TRUTHS = {
    "R-(R|CPE)-(R|CPE)-(R|CPE)": [
        *(0.01, 0.01, 1e-3**0.9 / 0.01, 0.9),
        *(0.02, 0.05**0.85 / 0.02, 0.85, 0.015, 5**0.9 / 0.015, 0.9),
    ],
    "L-R-(R|CPE)-(R-Wo|CPE)": [1e-7, 0.015, 0.01, 0.5, 0.8, 0.01, 0.02, 100, 20, 0.9],
}


def cell(text: str, share: float, seed: int) -> Spectrum:
    z = parse_circuit(text).impedance(F, np.array(TRUTHS[text]))
    return Spectrum(F, noisy(z, share, seed), title="cell")


def fitted(text: str, spectrum: Spectrum, **options: object) -> CircuitFit:
    return fit_circuit(spectrum, parse_circuit(text), relaxation_times(spectrum), **options)  # type: ignore[arg-type]


def covered(seeds: range) -> dict[str, float]:
    """By parameter, the share of spectra whose truth lies within one sigma of what is fitted."""
    shares: dict[str, float] = {}
    for text, truth in TRUTHS.items():
        hits = np.zeros(len(truth))
        for seed in seeds:
            fit = fitted(text, cell(text, 0.003, seed), is_rough=True)
            assert not fit.fitted.unidentified
            hits += np.abs(fit.fitted.value - truth) < fit.fitted.sigma
        names = [one.name for one in fit.fitted.parameters]
        shares |= {f"{text} {name}": hit / len(seeds) for name, hit in zip(names, hits, strict=True)}
    return shares


def test_one_sigma_holds_the_truth_two_times_in_three() -> None:
    shares = list(covered(range(25)).values())
    assert np.mean(shares) == pytest.approx(0.683, abs=0.1)
    assert min(shares) > 0.683 - 4 * np.sqrt(0.683 * 0.317 / 25)


@pytest.mark.soak
def test_one_sigma_holds_the_truth_in_63_to_73_percent_of_a_thousand() -> None:
    shares = covered(range(1000))
    assert all(0.63 <= share <= 0.73 for share in shares.values()), shares


@pytest.mark.parametrize("text", TRUTHS)
@pytest.mark.parametrize("share", [0.002, 0.005])
def test_the_circuit_of_the_truth_is_chosen(text: str, share: float) -> None:
    spectrum = cell(text, share, 1)
    best, ranked = chosen_circuit(spectrum, relaxation_times(spectrum))
    assert best.circuit.text == text
    assert best.fitted.value == pytest.approx(TRUTHS[text], rel=0.2)
    assert len(ranked) > 3


def test_a_capacitor_is_chosen_where_the_arc_is_round() -> None:
    spectrum = Spectrum(F, noisy(arcs(F, (0.02, 0.05, 1.0)), 0.002, 2), title="round")
    best, _ = chosen_circuit(spectrum, relaxation_times(spectrum))
    assert best.circuit.text == "R-(R|C)"


def test_a_circuit_with_numbers_keeps_its_elements() -> None:
    """CPE2 comes first and is none; CPE1 comes second and is a capacitor."""
    f = grid(1e4, 1e-2, 61)
    spectrum = Spectrum(f, noisy(arcs(f, (0.02, 1e-3, 0.7), (0.03, 0.5, 1.0)), 0.001, 1), title="numbers")
    best, _ = chosen_circuit(spectrum, relaxation_times(spectrum), ("R-(R|CPE2)-(R|CPE1)", "R-(R|CPE)"))
    assert best.circuit.text == "R-(R|CPE2)-(R|CPE1)"
    assert best.fitted["CPE2_n"] == pytest.approx(0.7, abs=0.01)
    assert best.rms < 0.002


VALUES = {
    "R": [0.005],
    "L": [1e-6],
    "C": [50.0],
    "CPE": [30.0, 0.8],
    "W": [0.01],
    "Wo": [0.03, 20.0],
    "Ws": [0.03, 20.0],
    "G": [0.03, 20.0],
}


@pytest.mark.parametrize("name", ELEMENTS)
def test_each_element_has_a_place_to_begin(name: str) -> None:
    circuit = parse_circuit(f"R-(R|CPE)-{name}")
    z = circuit.impedance(F, np.array([0.01, 0.02, 0.5, 0.9, *VALUES[name]]))
    spectrum = Spectrum(F, z, title=name)
    assert fit_circuit(spectrum, circuit, relaxation_times(spectrum), is_rough=True).rms < 1e-4


def test_two_resistors_in_series_cannot_be_told_apart() -> None:
    fit = fitted("R-R-(R|C)", Spectrum(F, noisy(arcs(F, (0.02, 0.05, 1.0)), 0.002, 3), title="two"))
    assert fit.quantity("R1") is None
    assert fit.quantity("R2") is None
    assert fit.quantity("R3") is not None
    told = {verdict.name: verdict.why for verdict in fit.fitted.verdicts}
    assert "R2" in told["R1"]


def test_an_arc_that_is_not_there_is_not_told() -> None:
    fit = fitted("R-(R|CPE)-(R|CPE)", Spectrum(F, noisy(arcs(F, (0.02, 0.05, 0.9)), 0.002, 4), title="one"))
    assert fit.fitted.unidentified


def test_an_end_of_diffusion_beyond_the_frequencies_is_not_told() -> None:
    f = grid(1e4, 0.1, 50)
    z = parse_circuit("R-(R-Wo|CPE)").impedance(f, np.array([0.015, 0.01, 2.0, 1e6, 20, 0.9]))
    fit = fitted("R-(R-Wo|CPE)", Spectrum(f, noisy(z, 0.003, 5), title="long"))
    assert "Wo1_tau" in fit.fitted.unidentified
    assert fit.quantity("R2") is not None


def test_another_minimum_that_fits_as_well_is_told() -> None:
    """Diffusion may stand in the fast arc or in the slow one; with this noise nothing decides it."""
    text = "L-R-(R|CPE)-(R-Wo|CPE)"
    analysis = analyse(cell(text, 0.005, 1), Wanted(circuits=(text,)))
    assert analysis.fit is not None
    assert analysis.fit.fitted.value == pytest.approx(TRUTHS[text], rel=0.2)
    assert any("another minimum" in caution for caution in analysis.cautions)


def test_a_held_parameter_stays_and_has_no_doubt() -> None:
    fit = fitted("R-(R|CPE)", Spectrum(F, arcs(F, (0.02, 0.05, 1.0)), title="held"), held={"CPE1_n": 1.0})
    assert fit.quantity("CPE1_n") is not None
    assert "CPE1_n" not in [one.name for one in fit.fitted.parameters]
    assert fit.fitted["R2"] == pytest.approx(0.02, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"held": {"CPE1_n": 1.2}}, "CPE1_n: 1.2 must lie from 0 to 1"),
        ({"start": {"R1": -1.0}}, "R1: -1 must lie"),
        ({"start": {"R9": 1.0}}, "no parameter 'R9'; it has R1, R2, CPE1_q, CPE1_n"),
        ({"held": {"R1": 1.0, "R2": 1.0, "CPE1_q": 1.0, "CPE1_n": 1.0}}, "every parameter is held"),
    ],
)
def test_values_that_cannot_be_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fitted("R-(R|CPE)", cell("R-(R|CPE)-(R|CPE)-(R|CPE)", 0.002, 1), **options)


def test_more_parameters_than_numbers_are_refused() -> None:
    f = grid(100, 1, 6)
    with pytest.raises(DataRefused, match="12 points for 13 parameters"):
        fitted("R-(R|CPE)-(R|CPE)-(R|CPE)-(R|CPE)", Spectrum(f, arcs(f, (0.02, 0.05, 1.0)), title="six"))


def test_what_fails_kramers_kronig_is_not_fitted_unless_insisted() -> None:
    bad = Spectrum(F, noisy(arcs(F, (0.02, 0.05, 0.9)), 0.05, 6), title="bad.csv")
    with pytest.raises(DataRefused, match=r"bad\.csv fails Kramers-Kronig.*--despite-kk"):
        analyse(bad)
    assert analyse(bad, Wanted(despite=True)).cautions[0].startswith("Kramers-Kronig leaves")
    assert analyse(bad, Wanted(only_kk=True)).fit is None


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (grid(100, 1, 5), "5 frequencies; give 6 or more"),
        (grid(100, 1, 2001), "2001 frequencies; give 2000 at most"),
        (grid(1e4, 0.01, 14), "2.2 points a decade"),
        (np.array([1e4, 8e3, 6e3, 5e3, 4e3, 3e3, 2e3, 1e2, 50, 20]), "widest gap from 2000 to 100 Hz"),
    ],
)
def test_spectra_that_are_too_thin_or_too_many_are_refused(f: np.ndarray, words: str) -> None:
    with pytest.raises(DataRefused, match=words):
        analyse(Spectrum(f, arcs(f, (0.02, 0.05, 0.9)), title="thin"))


def test_the_intercept_is_where_im_z_is_zero() -> None:
    """R + j w L + 1 / (j w C): Im Z = 0 at 1 / (2 pi sqrt(L C)), where Re Z = R."""
    z = 0.012 + 2j * np.pi * F * 1e-6 + 1 / (2j * np.pi * F * 2.0)
    assert intercept_ohm(Spectrum(F, z, title="i")) == pytest.approx(0.012, rel=1e-9)
    assert intercept_ohm(Spectrum(F, arcs(F, (0.02, 0.05, 1.0)), title="none")) is None


def test_findings_hold_what_is_identified_alone() -> None:
    spectrum = Spectrum(F, noisy(arcs(F, (0.02, 0.05, 1.0)), 0.002, 3), title="two")
    analysis = analyse(spectrum, Wanted(circuits=("R-R-(R|C)",)))
    names = {one.name for one in findings_of(analysis).findings}
    assert "circuit@R3" in names
    assert not names & {"circuit@R1", "circuit@R2"}


def test_time_constant_and_capacitance_of_an_arc() -> None:
    spectrum = Spectrum(F, noisy(arcs(F, (0.02, 0.05, 0.9)), 0.002, 8), title="arc")
    arc = analyse(spectrum, Wanted(circuits=("R-(R|CPE)",))).arcs[0]
    assert arc.tau_s.value == pytest.approx(0.05, abs=4 * arc.tau_s.sigma)
    assert arc.capacitance_f.value == pytest.approx(0.05 / 0.02, abs=4 * arc.capacitance_f.sigma)
    assert arc.tau_s.relative_sigma < 0.01
