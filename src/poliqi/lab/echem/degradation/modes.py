"""Degradation modes of a cell by its open-circuit voltage: lithium that is lost, and electrode that is lost.

The voltage is that of two half cells which share the charge that flows (Dahn, Smith, Burns, Stevens, Dahn, J.
Electrochem. Soc. 159, A1405, 2012; Dubarry, Truchot, Liaw, J. Power Sources 219, 204, 2012; Birkl, Roberts, McTurk,
Bruce, Howey, J. Power Sources 341, 373, 2017):

    V(Q) = U_p(x_p(Q)) - U_n(x_n(Q)) - eta,  x_n = x_n0 - Q / C_n,  x_p = x_p0 + Q / C_p

Searched are the lithium contents of both electrodes at the first and at the last point of the sweep, which stay
within what the half cells were measured over, and eta, a constant overpotential. The electrodes' capacities C_n and
C_p and the lithium that they share, x_n C_n + x_p C_p, follow with their covariance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import DataRefused
from poliqi.lab.echem.correlated import widening
from poliqi.lab.echem.degradation.halfcell import HalfCell
from poliqi.lab.echem.degradation.pseudo_ocv import OpenCircuit
from poliqi.lab.echem.fitting import Fitted, Parameter, fit_least_squares
from poliqi.lab.echem.quantity import Quantity

__all__ = ["CAPACITIES", "CheckUp", "fit_check_up"]

Floats = NDArray[np.float64]
CAPACITIES: Final = ("negative_ah", "positive_ah", "lithium_ah")
"""Charge that each electrode takes from 0 to 1 of its half cell, and the lithium that both share."""
_NAMES: Final = ("negative, full cell", "negative, empty cell", "positive, full cell", "positive, empty cell")
_MOST_ETA_V: Final = 0.2
_COARSE: Final = 60
_STARTS: Final = 3
_LEAST_SPAN: Final = 0.05
_FULL_NEGATIVE: Final = (0.99, 0.92, 0.85, 0.75, 0.6, 0.45)
_EMPTY_NEGATIVE: Final = (0.0, 0.015, 0.04, 0.1, 0.2)
_FULL_POSITIVE: Final = (0.01, 0.1, 0.2, 0.27, 0.35, 0.45)
_EMPTY_POSITIVE: Final = (0.995, 0.93, 0.85, 0.7)
"""Where the search may begin, as shares of the half cells' range."""


@dataclass(frozen=True, slots=True)
class CheckUp:
    """One sweep taken apart. `capacities` has those of `CAPACITIES` that are identified, `why` is of the others."""

    sweep: OpenCircuit
    fitted: Fitted
    capacities: Mapping[str, Quantity]
    why: Mapping[str, str]
    covariance: Floats
    """(3, 3) of `CAPACITIES`, in Ah^2; nan where one is not identified."""
    rms_v: float
    widened: float
    """What the variances were multiplied by: residuals that follow each other, or exceed a known noise."""
    negative_at: Floats
    """Lithium in the negative electrode at each point (n,)."""
    positive_at: Floats
    model_v: Floats

    def parameter(self, name: str) -> Quantity | None:
        """A parameter of the fit with its widened error; None where it is not identified."""
        found = self.fitted.quantity(name)
        return None if found is None else replace(found, sigma=found.sigma * math.sqrt(self.widened))


def fit_check_up(
    sweep: OpenCircuit,
    negative: HalfCell,
    positive: HalfCell,
    *,
    overpotential: bool = True,
    sigma_v: float | None = None,
) -> CheckUp:
    """Both electrodes' lithium, by least squares from several starts.

    `overpotential`: whether eta is searched, else 0. `sigma_v` of the voltage, where it is known; else the residual
    tells it. Either way error bars widen where neighbouring residuals agree. Raises DataRefused.
    """
    share = (sweep.charge_ah - sweep.charge_ah[0]) / sweep.capacity_ah
    names = (*_NAMES, "overpotential") if overpotential else _NAMES
    scale = 1.0 if sigma_v is None else sigma_v
    if not scale > 0:
        raise DataRefused(f"sigma of the voltage: {sigma_v} V; give a number above 0")

    def places(p: Floats) -> tuple[Floats, Floats]:
        return p[0] + (p[1] - p[0]) * share, p[2] + (p[3] - p[2]) * share

    def residual(p: Floats) -> Floats:
        x, y = places(p)
        return (positive.at(y) - negative.at(x) - (p[4] if overpotential else 0.0) - sweep.voltage_v) / scale

    def jacobian(p: Floats) -> Floats:
        x, y = places(p)
        down, up = -negative.slope(x), positive.slope(y)
        columns = [down * (1 - share), down * share, up * (1 - share), up * share]
        return np.stack([*columns, -np.ones_like(share)] if overpotential else columns, axis=1) / scale

    best: Fitted | None = None
    for start in _starts(sweep, negative, positive):
        parameters = _parameters(names, start, negative, positive)
        found = fit_least_squares(
            residual, parameters, known_sigma=sigma_v is not None, jacobian=jacobian, tolerance=1e-12
        )
        if best is None or found.chi2 < best.chi2:
            best = found
    assert best is not None
    return _told(sweep, best, places(best.value), scale, is_known=sigma_v is not None)


def _parameters(
    names: tuple[str, ...], start: Floats, negative: HalfCell, positive: HalfCell
) -> tuple[Parameter, ...]:
    limits = [(half.lithium[0], half.lithium[-1]) for half in (negative, negative, positive, positive)]
    limits.append((-_MOST_ETA_V, _MOST_ETA_V))
    begin = [*start, 0.0]
    return tuple(
        Parameter(
            name,
            float(np.clip(at, *limit)),
            float(limit[0]),
            float(limit[1]),
            "V" if name == "overpotential" else "1",
        )
        for name, at, limit in zip(names, begin, limits, strict=False)
    )


def _starts(sweep: OpenCircuit, negative: HalfCell, positive: HalfCell) -> list[Floats]:
    """The best of a coarse grid of lithium contents, not next to each other."""
    share: Floats = np.linspace(0, 1, _COARSE)
    places: Floats = sweep.charge_ah[0] + share * sweep.capacity_ah
    v = np.interp(places, sweep.charge_ah, sweep.voltage_v)

    def curves(half: HalfCell, ends: list[tuple[float, float]]) -> tuple[Floats, Floats]:
        pairs = np.array(ends)
        within = half.lithium[0] + (half.lithium[-1] - half.lithium[0]) * pairs
        return within, half.at(within[:, :1] + (within[:, 1:] - within[:, :1]) * share)

    n_at, n_v = curves(negative, [(full, empty) for full in _FULL_NEGATIVE for empty in _EMPTY_NEGATIVE])
    p_at, p_v = curves(positive, [(full, empty) for full in _FULL_POSITIVE for empty in _EMPTY_POSITIVE])
    off: Floats = p_v[None] - n_v[:, None] - v
    middle: Floats = np.mean(off, axis=-1, keepdims=True)
    cost: Floats = np.sum((off - np.clip(middle, -_MOST_ETA_V, _MOST_ETA_V)) ** 2, axis=-1)
    chosen: list[tuple[int, int]] = []
    for flat in np.argsort(cost, axis=None):
        n, p = divmod(int(flat), cost.shape[1])
        if all(n != other and p != another for other, another in chosen):
            chosen.append((n, p))
        if len(chosen) == _STARTS:
            break
    return [np.concatenate((n_at[n], p_at[p])) for n, p in chosen]


def _told(
    sweep: OpenCircuit, fitted: Fitted, at: tuple[Floats, Floats], scale: float, *, is_known: bool
) -> CheckUp:
    """Capacities and lithium with their covariance; a capacity is told where both its ends are identified."""
    x0, x1, y0, y1 = (float(one) for one in fitted.value[:4])
    span = sweep.capacity_ah
    if not (x0 - x1 > _LEAST_SPAN and y1 - y0 > _LEAST_SPAN):
        raise DataRefused(
            f"{sweep.title!r}: the best fit moves lithium from {x0:.3f} to {x1:.3f} in the negative electrode "
            "and from "
            f"{y0:.3f} to {y1:.3f} in the positive one, which is no discharge; are these the half cells of "
            "this cell?"
        )
    c_n, c_p = span / (x0 - x1), span / (y1 - y0)
    by = np.zeros((3, fitted.value.size))
    by[0, :2] = np.array([-1, 1]) * c_n / (x0 - x1)
    by[1, 2:4] = np.array([1, -1]) * c_p / (y1 - y0)
    by[2] = x0 * by[0] + y0 * by[1]
    by[2, 0] += c_n
    by[2, 2] += c_p
    wide = widening(fitted.residual) * (max(fitted.reduced_chi2, 1.0) if is_known else 1.0)
    whys = {name: _why(row, fitted) for name, row in zip(CAPACITIES, by, strict=True)}
    known = np.where(np.isnan(fitted.covariance), 0.0, fitted.covariance) * wide
    hidden = np.where([bool(whys[name]) for name in CAPACITIES], math.nan, 1.0)
    covariance = by @ known @ by.T * np.outer(hidden, hidden)
    values = {"negative_ah": c_n, "positive_ah": c_p, "lithium_ah": x0 * c_n + y0 * c_p}
    found = {
        name: Quantity(values[name], float(np.sqrt(max(covariance[at_, at_], 0.0))), "Ah", sweep.title)
        for at_, name in enumerate(CAPACITIES)
        if not whys[name]
    }
    off = fitted.residual * scale
    return CheckUp(
        sweep, fitted, found, {name: why for name, why in whys.items() if why}, covariance,
        float(np.sqrt(np.mean(off * off))), wide, at[0], at[1], sweep.voltage_v + off,
    )  # fmt: skip


def _why(row: Floats, fitted: Fitted) -> str:
    """Why a capacity is not told: what it is made of is not identified. "" where it is."""
    parts = [
        f"{verdict.name}: {verdict.why}"
        for weight, verdict in zip(row, fitted.verdicts, strict=True)
        if weight != 0 and not verdict.is_identified
    ]
    return "; ".join(parts)
