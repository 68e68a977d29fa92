"""Least squares that says what the data cannot tell: sigma, rank and condition, and who is not identified.

Minimum by scipy's trust region reflective method (Branch, Coleman and Li, SIAM J. Sci. Comput. 21, 1999);
covariance (J^T J)^-1 from the Jacobian at the minimum, scaled by chi^2 over the degrees of freedom where sigma is
not known (Seber and Wild, Nonlinear Regression, 2003, ch. 2.1.2). Directions of J that are weaker than one part in
`1 / RANK_LIMIT` of the strongest, in columns of equal length, are held for unknown; whoever takes part in one has
no value to report.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused

if TYPE_CHECKING:
    from poliqi.lab.echem.quantity import Quantity

__all__ = ["RANK_LIMIT", "Fitted", "Parameter", "Verdict", "fit_least_squares", "judged"]

Floats = NDArray[np.float64]
RANK_LIMIT: Final = 1e-5
"""Singular values of J with columns of length 1, over the largest, below which a direction is unknown."""
_PART: Final = 1e-3
"""Share of an unknown direction from which a parameter takes part in it: above what errors of J leave there."""
_WIDEST: Final = 1.0
_NEAR: Final = 1e-4


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a fit may change: where it begins and between which limits. `is_log`: searched by its logarithm."""

    name: str
    start: float
    lower: float = -math.inf
    upper: float = math.inf
    unit: str = "1"
    is_log: bool = False

    def __post_init__(self) -> None:
        if not self.lower < self.upper or not self.lower <= self.start <= self.upper:
            raise DataRefused(
                f"{self.name}: {self.start:g} must lie from {self.lower:g} to {self.upper:g} {self.unit}"
            )
        if self.is_log and self.lower <= 0:
            raise DataRefused(
                f"{self.name}: the lower limit {self.lower:g} must be above 0: its logarithm is fitted"
            )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be said of one parameter: identified, or why not."""

    name: str
    is_identified: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The minimum. `value`, `sigma` are in each parameter's own unit; sigma is nan where it is not identified."""

    parameters: tuple[Parameter, ...]
    value: Floats
    sigma: Floats
    covariance: Floats
    """(k, k), with rows and columns of nan for whom is not identified."""
    residual: Floats
    chi2: float
    degrees: int
    rank: int
    condition: float
    verdicts: tuple[Verdict, ...]
    converged: bool

    def __getitem__(self, name: str) -> float:
        return float(self.value[self._at(name)])

    def _at(self, name: str) -> int:
        return next(at for at, one in enumerate(self.parameters) if one.name == name)

    @property
    def unidentified(self) -> tuple[str, ...]:
        """Whom the data does not tell."""
        return tuple(one.name for one in self.verdicts if not one.is_identified)

    @property
    def reduced_chi2(self) -> float:
        """Chi^2 over degrees of freedom; nan where there is none."""
        return self.chi2 / self.degrees if self.degrees > 0 else math.nan

    def quantity(self, name: str) -> Quantity | None:
        """Value with sigma; None where it is not identified: such a number is not told."""
        from poliqi.lab.echem.quantity import Quantity

        at = self._at(name)
        if not self.verdicts[at].is_identified:
            return None
        return Quantity(float(self.value[at]), float(self.sigma[at]), self.parameters[at].unit)


def fit_least_squares(
    residual: Callable[[Floats], Floats],
    parameters: Sequence[Parameter],
    *,
    known_sigma: bool,
    jacobian: Callable[[Floats], Floats] | None = None,
    most_evaluations: int = 2000,
    tolerance: float = 1e-10,
    difference_step: float | None = None,
) -> Fitted:
    """The minimum of sum(residual^2) within the limits.

    `residual` takes the parameters in their units, shape (k,), and gives (n,): divided by sigma where
    `known_sigma`. `jacobian` gives (n, k) by parameters in their units. Raises DataRefused where the residual at
    the start is no number, or there are fewer points than parameters.
    """
    from scipy import optimize

    solver: Any = optimize  # its annotations are partial
    names = tuple(parameters)
    log = np.array([one.is_log for one in names])
    low, high = (np.array([_inner(getattr(one, side), one.is_log) for one in names]) for side in ("lower", "upper"))
    start = np.clip(np.array([_inner(one.start, one.is_log) for one in names]), low, high)

    def outer(u: Floats) -> Floats:
        return np.where(log, np.exp(np.where(log, u, 0.0)), u)

    def by_inner(u: Floats) -> Floats:
        assert jacobian is not None
        x = outer(u)
        return jacobian(x) * np.where(log, x, 1.0)

    first = residual(outer(start))
    if first.size < len(names):
        raise DataRefused(f"{first.size} points for {len(names)} parameters; give more points or hold parameters")
    if not bool(np.all(np.isfinite(first))):
        raise DataRefused(f"the model gives no number at the start of {', '.join(one.name for one in names)}")

    def inside(u: Floats) -> Floats:
        return residual(outer(u))

    found: Any = solver.least_squares(
        inside,
        start,
        jac="2-point" if jacobian is None else by_inner,
        bounds=(low, high),
        x_scale="jac",
        xtol=tolerance,
        ftol=tolerance,
        gtol=tolerance,
        max_nfev=most_evaluations,
        diff_step=difference_step,
    )
    u, x = found.x, outer(found.x)
    j_inner: Floats = (
        found.jac
        if jacobian is not None or difference_step is not None
        else _central(residual, outer, u, low, high)
    )
    at_bound = _at_bound(u, low, high)
    verdicts, sigma_u, covariance_u, rank, condition = judged(
        j_inner, names, chi2=float(2 * found.cost), at_bound=at_bound, known_sigma=known_sigma
    )
    scale = np.where(log, x, 1.0)
    widest = tuple(
        verdict
        if not verdict.is_identified or not one.is_log or sigma_u[at] < _WIDEST
        else Verdict(one.name, False, f"known to a factor of {math.exp(min(sigma_u[at], 50.0)):.2g} only")
        for at, (one, verdict) in enumerate(zip(names, verdicts, strict=True))
    )
    told = np.array([verdict.is_identified for verdict in widest])
    hidden = np.where(told, 1.0, math.nan)
    return Fitted(
        names,
        x,
        sigma_u * scale * hidden,
        covariance_u * np.outer(scale * hidden, scale * hidden),
        found.fun,
        float(2 * found.cost),
        first.size - len(names),
        rank,
        condition,
        widest,
        bool(found.success),
    )


def judged(
    jacobian: Floats,
    parameters: Sequence[Parameter],
    *,
    chi2: float,
    at_bound: NDArray[np.bool_],
    known_sigma: bool,
) -> tuple[tuple[Verdict, ...], Floats, Floats, int, float]:
    """Verdicts, sigma (k,), covariance (k, k), rank and condition number, by the Jacobian (n, k) at a minimum.

    Parameters at a limit are held there: they have no sigma, and what is said of the others is under that. Where
    sigma is not known and there are no more points than parameters, none is identified.
    """
    n, k = jacobian.shape
    length = np.sqrt(np.sum(jacobian**2, axis=0))
    free = ~at_bound & (length > 0)
    whys = [
        "" if one else "stands at its limit" if bound else "changes nothing"
        for one, bound in zip(free, at_bound, strict=True)
    ]
    covariance = np.full((k, k), math.nan)
    rank, condition = 0, math.inf
    if bool(free.any()):
        scaled = jacobian[:, free] / length[free]
        _, singular, directions = np.linalg.svd(scaled, full_matrices=False)
        known = singular > RANK_LIMIT * singular[0]
        rank = int(known.sum())
        condition = float(singular[0] / singular[-1]) if singular[-1] > 0 else math.inf
        weights = directions[known].T / np.where(known, singular, 1.0)[known]
        inside = weights @ weights.T / np.outer(length[free], length[free])
        if not known_sigma:
            inside = inside * (chi2 / (n - k) if n > k else math.nan)
        covariance[np.ix_(free, free)] = inside
        lost = np.sqrt(np.sum(directions[~known] ** 2, axis=0))
        where = np.flatnonzero(free)
        together = [parameters[int(where[at])].name for at in np.flatnonzero(lost > _PART)]
        for at in np.flatnonzero(lost > _PART):
            others = [name for name in together if name != parameters[int(where[at])].name]
            whys[int(where[at])] = f"cannot be told apart from {', '.join(others)}" if others else "changes nothing"
    if not known_sigma and n <= k:
        whys = [why or "no point is left to tell its doubt" for why in whys]
    sigma = np.sqrt(np.clip(np.diag(covariance), 0, None))
    verdicts = tuple(Verdict(one.name, not why, why) for one, why in zip(parameters, whys, strict=True))
    hidden = np.where(np.array([one.is_identified for one in verdicts]), 1.0, math.nan)
    return verdicts, sigma * hidden, covariance * np.outer(hidden, hidden), rank, condition


def _inner(value: float, is_log: bool) -> float:
    return value if not is_log else math.inf if value == math.inf else math.log(value)


def _at_bound(u: Floats, low: Floats, high: Floats) -> NDArray[np.bool_]:
    width = np.where(np.isfinite(low) & np.isfinite(high), high - low, np.maximum(np.abs(u), 1.0))
    return (u - low < _NEAR * width) | (high - u < _NEAR * width)


def _central(
    residual: Callable[[Floats], Floats], outer: Callable[[Floats], Floats], u: Floats, low: Floats, high: Floats
) -> Floats:
    """The Jacobian by central differences, as far as the limits let: sharper than what the search used."""
    columns: list[Floats] = []
    for at in range(u.size):
        step = 6e-6 * max(abs(float(u[at])), 1e-3)
        up, down = u.copy(), u.copy()
        up[at], down[at] = min(u[at] + step, high[at]), max(u[at] - step, low[at])
        columns.append((residual(outer(up)) - residual(outer(down))) / (up[at] - down[at]))
    return np.stack(columns, axis=1)
