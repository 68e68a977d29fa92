"""The circuit R0 + (R1 | C1) [+ (R2 | C2)] of one pulse, by least squares with errors and verdicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.correlated import widening
from poliqi.lab.echem.fitting import Fitted, Parameter, fit_least_squares
from poliqi.lab.echem.pulses.pulses import Pulse
from poliqi.lab.echem.quantity import Quantity

__all__ = ["MOST_PAIRS", "Circuit", "fit_pulse"]

Floats = NDArray[np.float64]
MOST_PAIRS: Final = 2
_GRID: Final = 12
_LEAST_V: Final = 1e-7
_LEAST_SHARE: Final = 1e-4
_STEP: Final = 1e-3
_APART: Final = 2.0


@dataclass(frozen=True, slots=True)
class Circuit:
    """`values` holds R0, R1, C1, tau1, ... as far as they are identified; `why` is of the others."""

    pairs: int
    values: Mapping[str, Quantity]
    why: Mapping[str, str]
    rms_v: float
    widened: float
    """What the variances were multiplied by: residuals larger than `sigma_v`, and neighbours that agree."""
    model_v: Floats
    ocv_slope_v_ah: float | None
    """Open-circuit slope that was taken off; None where it is not known, and so counts as R1 and C1."""
    fitted: Fitted


def fit_pulse(
    pulse: Pulse, *, pairs: int = 1, ocv_slope_v_ah: float | None = None, sigma_v: float = 0.0
) -> Circuit:
    """Resistances, capacitances and time constants of one pulse.

    `sigma_v` is the noise that the voltage is known to have at least, such as its resolution over sqrt(12). Time
    constants are searched from a fifth of the first point's time to ten times the pulse. Raises DataRefused for
    fewer points than parameters.
    """
    if not 1 <= pairs <= MOST_PAIRS:
        raise DataRefused(f"{pairs} pairs of R and C; give 1 to {MOST_PAIRS}")
    if pulse.time_s.size < 2 * pairs + 2:
        raise DataRefused(
            f"{pulse.title!r}: pulse {pulse.number} has {pulse.time_s.size} points for {2 * pairs + 1} parameters"
        )
    scale = max(sigma_v, _LEAST_V)
    change = pulse.voltage_v - pulse.rest_v - _drift(pulse, ocv_slope_v_ah)
    taus = _grid(pulse)
    steps_t, steps_i = _steps(pulse)

    def shape(tau: float) -> Floats:
        since = pulse.time_s[:, None] - steps_t
        return np.where(since >= 0, 1 - np.exp(-np.maximum(since, 0) / tau), 0.0) @ steps_i

    direct = pulse.current_a - pulse.rest_current_a
    start = _start(change, direct, [shape(tau) for tau in taus], taus, pairs)
    names = ["R0", *(name for k in range(1, pairs + 1) for name in (f"R{k}", f"tau{k}"))]
    parameters = [_parameter(name, value, pulse, taus) for name, value in zip(names, start, strict=True)]

    def residual(p: Floats) -> Floats:
        model = p[0] * direct
        for k in range(pairs):
            model = model + p[1 + 2 * k] * shape(float(p[2 + 2 * k]))
        return (model - change) / scale

    fitted = fit_least_squares(residual, parameters, known_sigma=True, tolerance=1e-12)
    wide = max(fitted.reduced_chi2, 1.0) * widening(fitted.residual)
    at_rest = scale / abs(pulse.mean_current_a)  # noise of the voltage at rest shifts all points alike
    values, why = _told(fitted, pairs, wide, at_rest, pulse.title)
    off = fitted.residual * scale
    return Circuit(
        pairs, values, why, float(np.sqrt(np.mean(off * off))), wide, pulse.voltage_v + off, ocv_slope_v_ah, fitted
    )


def _drift(pulse: Pulse, slope_v_ah: float | None) -> Floats:
    """By how much the open-circuit voltage moves while the pulse flows."""
    if slope_v_ah is None:
        return np.zeros_like(pulse.time_s)
    dt = np.diff(pulse.time_s, prepend=0.0)
    return slope_v_ah * np.cumsum(pulse.current_a * dt) / 3600


def _steps(pulse: Pulse) -> tuple[Floats, Floats]:
    """Times and sizes of the changes of the current: at 0 the first, then those above a thousandth."""
    current = pulse.current_a - pulse.rest_current_a
    times, sizes, now = [0.0], [float(current[0])], float(current[0])
    for at in range(1, current.size):
        if abs(current[at] - now) > _STEP * abs(now):
            times.append(float(pulse.time_s[at - 1]))
            sizes.append(float(current[at]) - now)
            now = float(current[at])
    return np.array(times), np.array(sizes)


def _grid(pulse: Pulse) -> Floats:
    first = float(pulse.time_s[pulse.time_s > 0][0])
    grid: Floats = np.geomspace(0.2 * first, 10 * float(pulse.time_s[-1]), _GRID)
    return grid


def _start(change: Floats, direct: Floats, shapes: list[Floats], taus: Floats, pairs: int) -> list[float]:
    """The best of all time constants of the grid, resistances by linear least squares without negative ones."""
    from scipy import optimize

    solver: Any = optimize  # its annotations are partial
    best: tuple[float, list[float]] | None = None
    for chosen in itertools.combinations(range(1, taus.size - 1), pairs):
        found, off = solver.nnls(np.stack([direct, *(shapes[at] for at in chosen)], axis=1), change)
        if best is None or off < best[0]:
            flat = [float(found[0])]
            for r, at in zip(found[1:], chosen, strict=True):
                flat += [float(r), float(taus[at])]
            best = float(off), flat
    assert best is not None
    return best[1]


def _parameter(name: str, value: float, pulse: Pulse, taus: Floats) -> Parameter:
    """Searched by their logarithms: none is negative."""
    if name.startswith("tau"):
        return Parameter(name, value, float(taus[0]), float(taus[-1]), "s", is_log=True)
    whole = abs(float(pulse.voltage_v[-1]) - pulse.rest_v) / abs(pulse.mean_current_a)
    low, high = _LEAST_SHARE * whole, 100 * whole
    return Parameter(name, float(np.clip(value, 2 * low, high / 2)), low, high, "ohm", is_log=True)


def _told(
    fitted: Fitted, pairs: int, wide: float, at_rest: float, title: str
) -> tuple[dict[str, Quantity], dict[str, str]]:
    """Who is identified, with widened errors; a capacitance where both its resistance and its time are."""
    values: dict[str, Quantity] = {}
    why = {one.name: one.why for one in fitted.verdicts if not one.is_identified}
    grown = math.sqrt(wide)
    for name in (one.name for one in fitted.parameters):
        found = fitted.quantity(name)
        if found is None:
            continue
        sigma = math.hypot(found.sigma * grown, at_rest if name == "R0" else 0.0)
        if sigma > found.value:
            why[name] = f"its error ({sigma:.2g} {found.unit}) is larger than itself"
        else:
            values[name] = Quantity(found.value, sigma, found.unit, title)
    for k in range(1, pairs + 1):
        r, tau = f"R{k}", f"tau{k}"
        if r in values and tau in values:
            c = values[tau].value / values[r].value
            at = 2 * k - 1
            shared = float(fitted.covariance[at, at + 1]) * wide / (values[r].value * values[tau].value)
            relative = values[r].relative_sigma ** 2 + values[tau].relative_sigma ** 2 - 2 * shared
            values[f"C{k}"] = Quantity(c, c * math.sqrt(max(relative, 0.0)), "F", title)
        else:
            why[f"C{k}"] = f"{r} or {tau} is not identified"
    return values, why
