"""Fits of form factors: any model of sasmodels, weighted, with covariance, and what the data cannot decide said.

sasmodels compiles a model at its first use, with the C compiler of the machine; compiled models are kept in
POLIQI's cache folder. Lengths in models are in angstrom, whatever the curve's unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.xray.curve import Axis, Curve
from poliqi.lab.xray.formmodel import FormModel, Values
from poliqi.lab.xray.leastsquares import chi2_p_value

__all__ = ["FormFit", "Parameter", "fit_form"]

_WORST_P: Final = 0.01
_CORRELATED: Final = 0.95
_UNDECIDED: Final = 1e-6
_TRIES: Final = 3
_FACTORS: Final = tuple(float(f) for f in np.geomspace(0.02, 50, 41))


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the model; `sigma` is None where it was held, or where the data do not decide it."""

    name: str
    value: float
    sigma: float | None
    unit: str
    fitted: bool


@dataclass(frozen=True, slots=True)
class FormFit:
    """`q` (1/angstrom), `intensity` of the model and `residuals` in sigma at the points used, each (n,).

    `correlations` are pairs of parameters beyond 0.95; `undecided` parameters can be exchanged for one another
    without a change of the curve; `at_limit` ran into their bounds.
    """

    model: str
    parameters: tuple[Parameter, ...]
    q: NDArray[np.float64]
    intensity: NDArray[np.float64]
    residuals: NDArray[np.float64]
    covariance: NDArray[np.float64]
    reduced_chi2: float
    inflated: bool
    correlations: tuple[tuple[str, str, float], ...]
    undecided: tuple[str, ...]
    at_limit: tuple[str, ...]

    def named(self, name: str) -> Parameter:
        """The parameter of that name. Raises KeyError."""
        for one in self.parameters:
            if one.name == name:
                return one
        raise KeyError(name)

    @property
    def cautions(self) -> tuple[str, ...]:
        """What a reader has to know before using the numbers."""
        said: list[str] = []
        if self.undecided:
            said.append(
                f"the data do not decide {', '.join(self.undecided)}: hold one or more (--set NAME=VALUE), as other"
                " values give the same curve"
            )
        said += [f"{a} and {b} are correlated by {r:.3f}" for a, b, r in self.correlations]
        said += [f"{name} ran into its limit" for name in self.at_limit]
        if self.inflated:
            said.append(f"reduced chi-square is {self.reduced_chi2:.1f}: sigmas were widened by its root")
        return tuple(said)


def fit_form(
    curve: Curve,
    model: str = "sphere",
    *,
    held: Values | None = None,
    vary: Sequence[str] = (),
    polydisperse: bool = True,
) -> FormFit:
    """Fits scale, background, every length of the model and the relative width (Schulz) of its first length.

    `held` sets parameters to values and keeps them, `vary` frees further ones. Raises ConfigError (sasmodels or a
    compiler is missing, unknown model or parameter), DataRefused (no q axis, too few points with a sigma).
    """
    if curve.axis is Axis.TWO_THETA_DEG:
        raise DataRefused(f"curve {curve.title!r} runs over 2theta; small-angle analysis needs q: reduce it to q")
    calculation = FormModel(curve, model, dict(held or {}), tuple(vary), polydisperse)
    if calculation.q.size <= len(calculation.free) + 2:
        raise DataRefused(
            f"curve {curve.title!r}: {calculation.q.size} points with a sigma for {len(calculation.free)}"
            f" parameters of {model}; hold some (--set NAME=VALUE), or measure more"
        )
    return _fitted(calculation)


def _fitted(calculation: FormModel) -> FormFit:
    from scipy import optimize

    least_squares: Any = cast("Any", optimize).least_squares
    free = calculation.free
    low, high = (np.array([calculation.limits[name][side] for name in free]) for side in (0, 1))

    def residuals(values: NDArray[np.float64]) -> NDArray[np.float64]:
        named = dict(zip(free, (float(value) for value in values), strict=True))
        return (calculation.intensity(named) - calculation.wanted) * calculation.weight

    best: Any = None
    for start in _starts(calculation):
        at = np.clip([start[name] for name in free], low + 1e-12, high - 1e-12)
        found: Any = least_squares(
            residuals, at, bounds=(low, high), x_scale=calculation.sizes(at), diff_step=1e-6, max_nfev=200
        )
        if best is None or found.cost < best.cost:
            best = found
    values: NDArray[np.float64] = np.asarray(best.x, np.float64)
    return _described(calculation, values, np.asarray(best.jac), np.asarray(best.fun), (low, high))


def _starts(calculation: FormModel) -> list[dict[str, float]]:
    """The best of a scan that makes all free lengths larger or smaller together, scale and background straight."""
    lengths = [name for name in calculation.lengths if name in calculation.free]
    others = {name: calculation.fixed[name] for name in calculation.free if name not in lengths}
    others |= {name: 0.15 for name in others if name.endswith("_pd")}
    scanned: list[tuple[float, dict[str, float]]] = []
    for factor in _FACTORS if lengths else (1.0,):
        values = others | {name: calculation.fixed[name] * factor for name in lengths}
        linear, chi2 = calculation.straight(values)
        scanned.append((chi2, values | {name: linear[name] for name in linear if name in calculation.free}))
    scanned.sort(key=lambda pair: pair[0])
    return [values for _, values in scanned[:_TRIES]]


def _described(
    calculation: FormModel,
    values: NDArray[np.float64],
    jacobian: NDArray[np.float64],
    residuals: NDArray[np.float64],
    limits: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> FormFit:
    free = calculation.free
    cov, undecided = _covariance(jacobian, calculation.sizes(values))
    chi2 = float((residuals**2).sum())
    freedom = max(residuals.size - len(free), 1)
    inflated = chi2_p_value(chi2, freedom) < _WORST_P
    total = cov * (chi2 / freedom if inflated else 1.0)
    for change in calculation.common:
        move = cov @ (jacobian * (change * calculation.weight)[:, None]).sum(0)
        total = total + np.outer(move, move)
    sigma = np.sqrt(np.maximum(np.diagonal(total), 0.0))
    near = 1e-6 * calculation.sizes(values)
    stuck = (values - limits[0] < near) | (limits[1] - values < near)
    named = dict(zip(free, (float(value) for value in values), strict=True))
    parameters = [
        Parameter(name, named[name], None if undecided[at] else float(sigma[at]), calculation.units[name], True)
        for at, name in enumerate(free)
    ]
    parameters += [
        Parameter(name, value, None, calculation.units[name], False)
        for name, value in calculation.fixed.items()
        if name not in free and not (name.endswith("_pd") and value == 0)
    ]
    return FormFit(
        model=calculation.model,
        parameters=tuple(parameters),
        q=calculation.q,
        intensity=calculation.intensity(named),
        residuals=residuals,
        covariance=total,
        reduced_chi2=chi2 / freedom,
        inflated=inflated,
        correlations=_correlated(free, cov, undecided),
        undecided=tuple(name for name, bad in zip(free, undecided, strict=True) if bad),
        at_limit=tuple(name for name, bad in zip(free, stuck, strict=True) if bad),
    )


def _covariance(
    jacobian: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(J^T J)^-1 by singular values, and which parameters take part in combinations that change nothing."""
    scaled = jacobian * sizes
    _, found, rows = np.linalg.svd(scaled, full_matrices=False)
    singular, vectors = cast("NDArray[np.float64]", found), cast("NDArray[np.float64]", rows)
    weak = singular < _UNDECIDED * float(singular[0])
    undecided: NDArray[np.bool_] = np.any(np.abs(vectors[weak]) > 0.1, axis=0, keepdims=True)[0]
    kept = np.where(weak, 0.0, 1 / np.maximum(singular, 1e-300) ** 2)
    cov: NDArray[np.float64] = np.einsum("ki,k,kj->ij", vectors, kept, vectors)
    return cov * np.outer(sizes, sizes), undecided


def _correlated(
    names: list[str], cov: NDArray[np.float64], undecided: NDArray[np.bool_]
) -> tuple[tuple[str, str, float], ...]:
    sigma = np.maximum(np.sqrt(np.maximum(np.diagonal(cov), 0.0)), 1e-300)
    pairs = ((a, b) for a in range(len(names)) for b in range(a) if not (undecided[a] or undecided[b]))
    found = [(names[b], names[a], float(cov[a, b] / sigma[a] / sigma[b])) for a, b in pairs]
    return tuple(one for one in found if abs(one[2]) > _CORRELATED)
