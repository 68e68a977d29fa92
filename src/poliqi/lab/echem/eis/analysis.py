"""What may be said of a spectrum: valid or not, at which times it relaxes, which circuit, how well known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.eis.choosing import chosen_circuit
from poliqi.lab.echem.eis.circuit import parse_circuit
from poliqi.lab.echem.eis.circuitfit import CircuitFit, fit_circuit
from poliqi.lab.echem.eis.kramerskronig import LIMIT, KramersKronig, Validity, kramers_kronig
from poliqi.lab.echem.eis.reading import check_density
from poliqi.lab.echem.eis.relaxation import Relaxation, relaxation_times
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.echem.spectrum import Spectrum
from poliqi.lab.store.findings import Finding, Findings

__all__ = ["PROGRAM", "Analysis", "Arc", "Wanted", "analyse", "arcs_of", "findings_of", "intercept_ohm"]

PROGRAM: Final = "poliqi lab echem eis"
_COVERS: Final = "scatter of the residuals over |Z|, to first order, if the circuit is the right one"
_RIVAL: Final = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to evaluate. `circuits` compete; none: they are made of the relaxation times.

    `start` and `held` give parameters of the only circuit. `only_kk` ends after the test. `despite` evaluates what
    failed it.
    """

    circuits: Sequence[str] = ()
    start: Mapping[str, float] = field(default_factory=dict[str, float])
    held: Mapping[str, float] = field(default_factory=dict[str, float])
    limit: float = LIMIT
    drt_weight: float | None = None
    only_kk: bool = False
    despite: bool = False


@dataclass(frozen=True, slots=True)
class Arc:
    """A resistor beside a C or CPE: tau = (R Q)^(1/n) and the capacitance tau / R (Hsu and Mansfeld, 2001)."""

    resistor: str
    tau_s: Quantity
    capacitance_f: Quantity


@dataclass(frozen=True, slots=True)
class Analysis:
    """`relaxation` and `fit` are None where only the test was wanted. `ranked` are all circuits, best first."""

    spectrum: Spectrum
    kramers_kronig: KramersKronig
    relaxation: Relaxation | None
    fit: CircuitFit | None
    ranked: tuple[CircuitFit, ...]
    arcs: tuple[Arc, ...]
    intercept_ohm: float | None
    cautions: tuple[str, ...]


def analyse(spectrum: Spectrum, wanted: Wanted | None = None) -> Analysis:
    """All steps of a spectrum.

    Raises DataRefused for a spectrum that is too thin, has Im Z turned, or fails Kramers-Kronig (unless `despite`);
    ConfigError for a circuit that cannot be read.
    """
    wanted = wanted or Wanted()
    check_density(spectrum)
    circuits = [parse_circuit(text) for text in wanted.circuits]
    test = kramers_kronig(spectrum, limit=wanted.limit)
    crossing = intercept_ohm(spectrum)
    cautions = [*spectrum.notes, *test.reasons]
    if wanted.only_kk:
        return Analysis(spectrum, test, None, None, (), (), crossing, tuple(cautions))
    if test.validity is Validity.INVALID and not wanted.despite:
        raise DataRefused(
            f"{spectrum.title} fails Kramers-Kronig: {'; '.join(test.reasons)}. Nothing is fitted to it; see where "
            "with --only-kk --plot, leave a part out with --range, or insist with --despite-kk"
        )
    relaxation = relaxation_times(spectrum, weight=wanted.drt_weight)
    if not relaxation.follows:
        cautions.append(
            f"relaxation times leave {100 * relaxation.rms:.2g} % of |Z|: no areas are told; a blocking electrode "
            "has none"
        )
    if len(circuits) == 1:
        fit = fit_circuit(spectrum, circuits[0], relaxation, start=wanted.start, held=wanted.held)
        ranked: tuple[CircuitFit, ...] = (fit,)
    else:
        fit, ranked = chosen_circuit(spectrum, relaxation, wanted.circuits)
    cautions += _cautions(fit, ranked)
    return Analysis(spectrum, test, relaxation, fit, ranked, arcs_of(fit), crossing, tuple(cautions))


def _cautions(fit: CircuitFit, ranked: Sequence[CircuitFit]) -> list[str]:
    found: list[str] = []
    if fit.fitted.unidentified:
        found.append(
            f"the spectrum does not tell {', '.join(fit.fitted.unidentified)} of {fit.circuit.text}: measure where "
            "they act, hold them (--hold), or take a simpler circuit"
        )
    if not fit.fitted.converged:
        found.append("the fit of the circuit did not converge; its values are no minimum")
    if fit.rival:
        found.append(f"the points do not decide against another minimum of the same circuit, with {fit.rival}")
    if fit.agreeing == 1 and fit.starts > 1:
        found.append(f"of {fit.starts} starts one alone reached this minimum; there may be a better one")
    rich = min((one for one in ranked[1:] if not one.is_identified), key=lambda one: one.criterion, default=None)
    if rich is not None and fit.is_identified and rich.criterion < fit.criterion - _RIVAL:
        found.append(
            f"{rich.circuit.text} follows the points better (rms {100 * rich.rms:.2g} %) and was not taken: "
            f"{', '.join(rich.fitted.unidentified)} cannot be told from this spectrum"
        )
    near = [
        one.circuit.text
        for one in ranked[1:]
        if one.is_identified and fit.is_identified and one.criterion < fit.criterion + 2
    ]
    if near:
        found.append(f"the points do not decide between {fit.circuit.text} and {', '.join(near)}")
    return found


def intercept_ohm(spectrum: Spectrum) -> float | None:
    """Re Z where Im Z falls through zero from the inductive side, in ohm; None where it does not."""
    im, re = spectrum.impedance_ohm.imag, spectrum.impedance_ohm.real
    crossing = np.flatnonzero((im[:-1] > 0) & (im[1:] <= 0))
    if not crossing.size:
        return None
    at = int(crossing[-1])
    share = im[at] / (im[at] - im[at + 1])
    return float(re[at] + share * (re[at + 1] - re[at]))


def arcs_of(fit: CircuitFit) -> tuple[Arc, ...]:
    """Time constant and capacitance of every identified (R|C) and (R|CPE), with first-order doubts."""
    names = [one.name for one in fit.fitted.parameters]
    arcs: list[Arc] = []
    for resistor, partner in _pairs(fit):
        parts = (resistor, partner) if partner.startswith("C") and not partner.startswith("CPE") else (
            resistor, f"{partner}_q", f"{partner}_n"
        )  # fmt: skip
        if any(part not in names or fit.quantity(part) is None for part in parts):
            continue
        at = [names.index(part) for part in parts]
        r, q, *rest = (float(fit.fitted.value[one]) for one in at)
        n = rest[0] if rest else 1.0
        tau = (r * q) ** (1 / n)
        by_tau = np.array([1 / (n * r), 1 / (n * q), -math.log(r * q) / n**2][: len(at)])
        by_capacitance = by_tau - np.array([1 / r, 0.0, 0.0][: len(at)])
        covariance = fit.fitted.covariance[np.ix_(at, at)]
        sigmas = [math.sqrt(max(float(by @ covariance @ by), 0.0)) for by in (by_tau, by_capacitance)]
        if all(math.isfinite(one) for one in sigmas):
            arcs.append(
                Arc(resistor, Quantity(tau, sigmas[0] * tau, "s"), Quantity(tau / r, sigmas[1] * tau / r, "F"))
            )
    return tuple(arcs)


def _pairs(fit: CircuitFit) -> list[tuple[str, str]]:
    """Resistors and what stands beside them alone."""
    steps, names, elements = fit.circuit.postfix, fit.circuit.names, fit.circuit.elements
    found: list[tuple[str, str]] = []
    for left, right, step in zip(steps, steps[1:], steps[2:], strict=False):
        if step != "|" or not isinstance(left, int) or not isinstance(right, int):
            continue
        for one, other in ((left, right), (right, left)):
            if elements[one].name == "R" and elements[other].name in {"C", "CPE"}:
                found.append((names[one], names[other]))
    return found


def findings_of(analysis: Analysis) -> Findings:
    """The numbers for other tools: circuit parameters that are identified, areas that are closed."""
    test, fit, relaxation = analysis.kramers_kronig, analysis.fit, analysis.relaxation
    found = [
        Finding("kramers_kronig_rms", test.rms, "1", method="linear Kramers-Kronig, residuals over |Z|"),
        Finding(
            "impedance_drift", test.drift, "1", test.drift_sigma, "linear Kramers-Kronig with drift", "scatter"
        ),
    ]
    if not math.isfinite(test.drift_sigma):
        found.pop()
    if analysis.intercept_ohm is not None:
        found.append(Finding("resistance_intercept", analysis.intercept_ohm, "ohm", method="Im Z = 0"))
    if fit is not None:
        method = f"circuit {fit.circuit.text}"
        for name, law in fit.circuit.parameters:
            if (told := fit.quantity(name)) is not None and name not in fit.held:
                found.append(Finding(f"circuit@{name}", told.value, law.unit, told.sigma, method, _COVERS))
        for arc in analysis.arcs:
            found += [
                Finding(f"{kind}@{arc.resistor}", one.value, one.unit, one.sigma, method, _COVERS)
                for kind, one in (("time_constant", arc.tau_s), ("capacitance", arc.capacitance_f))
            ]
    if relaxation is not None and relaxation.follows:
        for nth, peak in enumerate((one for one in relaxation.peaks if one.is_closed), 1):
            found += [
                Finding(f"relaxation_time@{nth}", peak.tau_s, "s", method="distribution of relaxation times"),
                Finding(f"relaxation_area@{nth}", peak.area_ohm, "ohm", method="distribution of relaxation times"),
            ]
    return Findings(tuple(found), PROGRAM, analysis.spectrum.title, analysis.spectrum.simulated, analysis.cautions)
