"""A circuit fitted to a spectrum, with what the spectrum does not tell.

Residuals are divided by |Z| (proportional weighting); what noise there is, is taken from them. Whether a parameter
is known is not asked of the covariance alone, which sees the surroundings of the minimum: one that is known to
worse than 10 % is held at ten times and at a tenth of its value, and the others fitted again (profile likelihood;
Raue et al., Bioinformatics 25, 1923, 2009). Where that fits as well, it has no value, nor have those that moved
with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError, DataRefused
from poliqi.lab.echem.eis.circuit import Circuit
from poliqi.lab.echem.eis.kramerskronig import rms_of
from poliqi.lab.echem.eis.relaxation import Relaxation
from poliqi.lab.echem.eis.seeding import seeds
from poliqi.lab.echem.fitting import Fitted, Parameter, Verdict, fit_least_squares
from poliqi.lab.echem.quantity import Quantity
from poliqi.lab.echem.spectrum import Spectrum

__all__ = ["CircuitFit", "fit_circuit"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_REACH: Final = 1e6
_STARTS: Final = 4
_SPREAD: Final = 1.2
_TOLERANCE: Final = 1e-10
_EVALUATIONS: Final = 400
_ROUGH_TOLERANCE: Final = 1e-7
_ROUGH_EVALUATIONS: Final = 80
_EXACT: Final = 1e-9
_SAME: Final = 1.001
_SAME_LIKELY: Final = 0.01
_OTHER: Final = 0.7
_DECIDED: Final = 4.0
_STRONG: Final = 6.0
_DOUBTED: Final = 0.1
_FAR: Final = 10.0
_MOVED: Final = 3.0


@dataclass(frozen=True, slots=True)
class CircuitFit:
    """`held` are parameters that were not fitted. `agreeing` of `starts` ended at this minimum."""

    circuit: Circuit
    fitted: Fitted
    held: Mapping[str, float]
    impedance_ohm: Complexes
    residual: Complexes
    """(Z - model) / |Z|, (n,)."""
    starts: int = 1
    agreeing: int = 1
    rival: str = ""
    """Another minimum that the points do not decide against: what it moves the most."""

    @property
    def rms(self) -> float:
        """Root mean square of |Z - model| / |Z|."""
        return rms_of(self.residual)

    @property
    def criterion(self) -> float:
        """The Bayesian information criterion; the least is preferred."""
        n = self.fitted.residual.size
        return n * math.log(max(self.fitted.chi2 / n, _EXACT**2)) + len(self.fitted.parameters) * math.log(n)

    @property
    def is_identified(self) -> bool:
        """Whether every parameter has a value to report."""
        return not self.fitted.unidentified

    def quantity(self, name: str) -> Quantity | None:
        """A parameter with its standard deviation; None where the spectrum does not tell it."""
        if name in self.held:
            return Quantity(self.held[name], 0.0, dict(self.circuit.parameters)[name].unit, "held")
        return self.fitted.quantity(name)


def fit_circuit(
    spectrum: Spectrum,
    circuit: Circuit,
    relaxation: Relaxation,
    *,
    start: Mapping[str, float] | None = None,
    held: Mapping[str, float] | None = None,
    starts: int = _STARTS,
    is_rough: bool = False,
) -> CircuitFit:
    """The least squares of a circuit, begun at the peaks and at `starts - 1` places around them.

    `start` and `held` give parameters by name. A rough one, to rank circuits, begins once and is not looked at from
    afar. Raises ConfigError for a name that the circuit does not have or a value outside its limits, DataRefused
    for fewer points than parameters.
    """
    laws = dict(circuit.parameters)
    begin, fixed = dict(start or {}), dict(held or {})
    for name, value in (begin | fixed).items():
        if name not in laws:
            raise ConfigError(f"circuit {circuit.text}: no parameter {name!a}; it has {', '.join(laws)}")
        law = laws[name]
        if not law.lower <= value <= law.upper:
            raise ConfigError(f"{name}: {value:g} must lie from {law.lower:g} to {law.upper:g} {law.unit}")
    seeded = dict(zip(laws, seeds(circuit, spectrum, relaxation), strict=True)) | begin | fixed
    free = [name for name in laws if name not in fixed]
    if not free:
        raise ConfigError(f"circuit {circuit.text}: every parameter is held; leave one to be fitted")
    random = np.random.default_rng(0)  # the same places every time
    found: list[Fitted] = []
    for nth in range(1 if is_rough else max(starts, 1)):
        moved = {name: _moved(seeded[name], name in begin or not nth, laws[name].is_log, random) for name in free}
        fit = _fitted(spectrum, circuit, moved, fixed, is_rough=is_rough)
        if fit is not None:
            found.append(fit)
    if not found:
        raise DataRefused(
            f"circuit {circuit.text} gives no number where its fit begins; give --start for its parameters"
        )
    best = min(found, key=lambda one: one.chi2)
    if _worse(found[0], best) < _STRONG:
        best = found[0]  # as good, and its arcs stand in the order of their times
    rival = _rival(best, found)
    agreeing = sum(one.chi2 <= best.chi2 * _SAME + 1e-20 for one in found)
    if not is_rough:
        best = _seen_from_afar(best, spectrum, circuit, fixed)
    values = dict(fixed) | dict(zip(free, best.value.tolist(), strict=True))
    z = circuit.impedance(spectrum.frequency_hz, np.array([values[name] for name in laws]))
    left = (spectrum.impedance_ohm - z) / np.abs(spectrum.impedance_ohm)
    return CircuitFit(circuit, best, fixed, z, left, len(found), agreeing, rival)


def _worse(one: Fitted, best: Fitted) -> float:
    """Twice the logarithm of how much less likely it is."""
    floor = best.residual.size * _EXACT**2
    return best.residual.size * math.log(max(one.chi2, floor) / max(best.chi2, floor))


def _rival(best: Fitted, found: Sequence[Fitted]) -> str:
    """Equal minima are none: they are the same arcs in another order."""
    for other in found:
        moved = np.abs(np.log(np.abs(other.value) + _EXACT) - np.log(np.abs(best.value) + _EXACT))
        apart = abs(_worse(other, best))
        if _SAME_LIKELY < apart < _STRONG and moved.max() > _OTHER and other.converged:
            at = int(np.argmax(moved))
            one = best.parameters[at]
            return f"{one.name} of {other.value[at]:.3g} in place of {best.value[at]:.3g} {one.unit}"
    return ""


def _seen_from_afar(best: Fitted, spectrum: Spectrum, circuit: Circuit, held: Mapping[str, float]) -> Fitted:
    """The fit without the values that do no better than ten times as much, or a tenth."""
    names = [one.name for one in best.parameters]
    values = dict(zip(names, best.value.tolist(), strict=True))
    whys: dict[str, str] = {}
    for at, (parameter, verdict) in enumerate(zip(best.parameters, best.verdicts, strict=True)):
        known = float(best.sigma[at]) < _DOUBTED * values[parameter.name]
        if not parameter.is_log or not verdict.is_identified or known or parameter.name in whys:
            continue
        for factor, words in ((_FAR, "ten times of it fits"), (1 / _FAR, "a tenth of it fits")):
            rest = {name: value for name, value in values.items() if name != parameter.name}
            there = {**held, parameter.name: values[parameter.name] * factor}
            other = _fitted(spectrum, circuit, rest, there, is_rough=True) if rest else None
            if other is None or _worse(other, best) >= _DECIDED:
                continue
            whys[parameter.name] = f"{words} as well"
            moved = np.abs(other.value - np.delete(best.value, at)) > _MOVED * np.delete(best.sigma, at)
            for name in np.array(list(rest))[moved].tolist():
                whys.setdefault(name, f"goes with {parameter.name}, of which {words} as well")
    if not whys:
        return best
    hidden = np.array([math.nan if name in whys else 1.0 for name in names])
    return replace(
        best,
        sigma=best.sigma * hidden,
        covariance=best.covariance * np.outer(hidden, hidden),
        verdicts=tuple(
            Verdict(one.name, False, whys[one.name]) if one.is_identified and one.name in whys else one
            for one in best.verdicts
        ),
    )


def _parameter(name: str, start: float, circuit: Circuit) -> Parameter:
    law = dict(circuit.parameters)[name]
    if not law.is_log:
        return Parameter(name, min(max(start, law.lower + 1e-3), law.upper - 1e-3), law.lower, law.upper, law.unit)
    begin = min(max(start, law.lower * _REACH), law.upper / _REACH)
    return Parameter(name, begin, begin / _REACH, begin * _REACH, law.unit, is_log=True)


def _moved(value: float, stays: bool, is_log: bool, random: np.random.Generator) -> float:
    if stays:
        return value
    return value * math.exp(_SPREAD * random.normal()) if is_log else random.uniform(0.5, 0.98)


def _fitted(
    spectrum: Spectrum, circuit: Circuit, start: Mapping[str, float], held: Mapping[str, float], *, is_rough: bool
) -> Fitted | None:
    """None where the model gives no number at the start."""
    parameters = [_parameter(name, value, circuit) for name, value in start.items()]
    f, z = spectrum.frequency_hz, spectrum.impedance_ohm
    names = [name for name, _ in circuit.parameters]
    whole = np.array([held.get(name, math.nan) for name in names])
    free = np.flatnonzero(np.isnan(whole))
    weight = 1 / np.abs(z)
    last: tuple[bytes, Complexes, Complexes] = (b"", z, z)

    def both(values: Floats) -> tuple[Complexes, Complexes]:
        nonlocal last
        if last[0] != values.tobytes():
            at = whole.copy()
            at[free] = values
            model, slopes = circuit.with_derivatives(f, at)
            last = (values.tobytes(), (z - model) * weight, -slopes[:, free] * weight[:, None])
        return last[1], last[2]

    def residual(values: Floats) -> Floats:
        found = both(values)[0]
        return np.concatenate([found.real, found.imag])

    def jacobian(values: Floats) -> Floats:
        found = both(values)[1]
        return np.concatenate([found.real, found.imag])

    if not bool(np.all(np.isfinite(residual(np.array([one.start for one in parameters]))))):
        return None
    fit = fit_least_squares(
        residual,
        parameters,
        known_sigma=False,
        jacobian=jacobian,
        tolerance=_ROUGH_TOLERANCE if is_rough else _TOLERANCE,
        most_evaluations=_ROUGH_EVALUATIONS if is_rough else _EVALUATIONS,
    )
    return replace(fit, residual=np.asarray(fit.residual, dtype=np.float64))
