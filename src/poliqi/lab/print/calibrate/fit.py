"""Focus and threshold from the widths and heights of lone lines, with their doubts.

A line of power P and speed v has in its middle the dose P^2/v, and prints where its Gaussian is above the threshold
K (Serbin et al., Opt. Lett. 28, 301, 2003, for lines in place of points):

    width = 2 w_xy sqrt(ln(P^2/(v K)))        height = 2 w_z sqrt(ln(P^2/(v K)))

w_xy, w_z and K are fitted together, by their logarithms, weighted by the measurements' doubts. Where the sheet
tells no doubts, one of all widths and one of all heights are estimated from the scatter.

At the threshold the derivative of a width by K has no bound, so that a single faint line would set K and its doubt:
lines whose dose is not 2 % above K are left out and told. Where the misfit is more than the doubts, or than the
scatter of lines of one power and speed (a cell), the dose of each cell is taken to scatter too, by as much as is
likeliest (restricted likelihood); what that does not explain raises the doubts of the results.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from poliqi.base.errors import DataRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poliqi.lab.print.calibrate.sheet import Row

__all__ = ["LineFit", "fit_lines", "line_um"]

_LEAST_LINES: Final = 3
_LEAST_SPREAD: Final = 1.5
_SCATTER_ROUNDS: Final = 3
_STEPS: Final = 400
_NEAR: Final = 0.02
"""ln(dose/K) below which a line is left out: 1 % of power."""
_ROUNDS: Final = 8
_LAD_ROUNDS: Final = 20
_FAR: Final = 0.05
"""ln(dose/K) from which a line contradicts the threshold, three doubts of it beside."""
_UNLIKELY: Final = 0.01
_SUSPECT: Final = 0.1
"""p below which the dose is taken to scatter: scatter of half a per cent, which K feels, is seldom beyond doubt."""
_MOST_SCATTER: Final = 0.5
_LEAST_SCATTER: Final = 1e-4
_SIGMAS: Final = 3.0
_LARGEST_LOG: Final = 60.0
_LEAST_RANK: Final = 1e-9
_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class LineFit:
    """What the lines tell. `covariance` (3, 3) is of the logarithms of w_xy, w_z and K; of w_z 0 where it was kept.

    `residuals` are measured less fitted (um) of widths, then heights, of the rows in `width_rows`, `height_rows`;
    `left_out` are printed rows too near the threshold. `p_value`: how often scatter as told gives a misfit as
    large; None where the scatter was estimated. `repeats_p`: how often cells (of one power and speed) part so far
    from the fit, by the scatter within them; None without repeats. `dose_scatter` is the scatter of ln dose between
    cells that this asks for; doubts are `raised` times what both give.
    """

    w_xy_um: float
    w_z_um: float
    line_threshold_mw2_s_mm: float
    covariance: NDArray[np.float64]
    chi2: float
    degrees: int
    p_value: float | None
    width_rows: tuple[int, ...]
    height_rows: tuple[int, ...]
    residuals_um: NDArray[np.float64]
    is_length_kept: bool
    contradictions: tuple[str, ...]
    left_out: tuple[int, ...] = ()
    repeats_p: float | None = None
    raised: float = 1.0
    dose_scatter: float = 0.0

    @property
    def sigmas(self) -> tuple[float, float, float]:
        """Standard deviations of w_xy, w_z (um) and K (mW^2 s/mm)."""
        values = (self.w_xy_um, self.w_z_um, self.line_threshold_mw2_s_mm)
        root = np.sqrt(np.diag(self.covariance)).tolist()
        return (values[0] * root[0], values[1] * root[1], values[2] * root[2])


def line_um(dose: NDArray[np.float64], w_um: float, line_threshold: float) -> NDArray[np.float64]:
    """Width (or, with w_z, height) of lines of a dose P^2/v; 0 where they do not print."""
    return 2.0 * w_um * np.sqrt(np.log(np.maximum(dose / line_threshold, 1.0)))


def fit_lines(rows: Sequence[Row], kept_w_z_um: float | None = None) -> LineFit:
    """Fit the lines that were printed. `kept_w_z_um`: keep that length where no heights were measured.

    Raises DataRefused where focus or threshold cannot be told from the rows, saying what is missing.
    """
    is_kept = kept_w_z_um is not None
    printed = [at for at, row in enumerate(rows) if row.width_um]
    _check_enough(rows, printed, _with_height(rows, printed, is_kept), is_kept)
    widths, heights, found = _firm(rows, printed, is_kept)
    if float(np.abs(found.values).max()) >= _LARGEST_LOG:
        raise DataRefused(
            "calibration: widths hardly change with power^2/speed, so that no focus and threshold come out; check "
            "power_mw, speed_mm_s and width_um"
        )
    used = _used(bool(heights))
    chi2, degrees = float(np.sum(found.residuals**2)), len(found.sigma) - len(used)
    p_value = _p_value(chi2, degrees) if found.is_told else None
    repeats_p = _lack_of_fit(rows, widths, heights, found.residuals, len(used))
    scatter, raised = 0.0, 1.0
    if min(1.0 if one is None else one for one in (p_value, repeats_p)) < _SUSPECT:
        widths, heights, found, scatter, raised = _scattering(rows, printed, found, is_kept)
    covariance = np.zeros((3, 3))
    covariance[np.ix_(used, used)] = raised**2 * _covariance(found.jacobian)
    w_xy, w_z, threshold = np.exp(found.values).tolist()
    fit = LineFit(
        w_xy,
        w_z if kept_w_z_um is None else kept_w_z_um,
        threshold,
        covariance,
        chi2,
        degrees,
        p_value,
        tuple(widths),
        tuple(heights),
        found.residuals * found.sigma,
        is_kept,
        (),
        tuple(sorted(set(printed) - set(widths))),
        repeats_p,
        raised,
        scatter,
    )
    return replace(fit, contradictions=_contradictions(rows, fit, found.residuals))


Fitted = tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]"]
"""Logarithms of w_xy, w_z, K; derivatives, and residuals, both in doubts."""


class _Found(NamedTuple):
    """Logarithms of w_xy, w_z, K; derivatives of the fitted by those used (in doubts, of cells where their dose
    scatters); of each measurement its residual in doubts and its doubt.
    """

    values: NDArray[np.float64]
    jacobian: NDArray[np.float64]
    residuals: NDArray[np.float64]
    sigma: NDArray[np.float64]
    is_told: bool


def _with_height(rows: Sequence[Row], widths: Sequence[int], is_kept: bool) -> list[int]:
    return [] if is_kept else [at for at in widths if rows[at].height_um]


def _firm(rows: Sequence[Row], printed: list[int], is_kept: bool) -> tuple[list[int], list[int], _Found]:
    """Rows of widths and heights well above the threshold that they give, and their fit."""
    logs = np.log([rows[at].dose for at in printed])
    threshold = _start(logs, np.array([rows[at].width_um for at in printed], dtype=float))[1]
    widths = _above(rows, printed, threshold + _NEAR, is_kept)
    heights = _with_height(rows, widths, is_kept)
    found = _weighted(rows, widths, heights)
    for _ in range(_ROUNDS):
        chosen = _above(rows, printed, float(found.values[2]) + _NEAR, is_kept)
        if chosen == widths:
            break
        widths, heights = chosen, _with_height(rows, chosen, is_kept)
        found = _weighted(rows, widths, heights)
    return widths, heights, found


def _above(rows: Sequence[Row], printed: list[int], log_dose: float, is_kept: bool) -> list[int]:
    """Printed rows of a higher dose; all where so few cannot tell (a caution then says so)."""
    chosen = [at for at in printed if math.log(rows[at].dose) > log_dose]
    try:
        _check_enough(rows, chosen, _with_height(rows, chosen, is_kept), is_kept)
    except DataRefused:
        return printed
    return chosen


def _scattering(
    rows: Sequence[Row], printed: list[int], found: _Found, is_kept: bool
) -> tuple[list[int], list[int], _Found, float, float]:
    """The fit where doses of cells scatter: rows of widths and heights, fit, scatter of ln dose, and what is left.

    Rows that are not three times the scatter above the threshold are left out.
    """
    widths = _above(rows, printed, float(found.values[2]) + _NEAR, is_kept)
    cells = _cells(rows, widths, _with_height(rows, widths, is_kept), found)
    (values, jacobian, _), raised, scatter = _explained(cells)
    for _ in range(_ROUNDS):
        chosen = _above(rows, printed, float(values[2]) + max(_NEAR, _SIGMAS * scatter), is_kept)
        if chosen == widths:
            break
        widths = chosen
        cells = _cells(rows, widths, _with_height(rows, widths, is_kept), found)
        (values, jacobian, _), raised, scatter = _explained(cells)
    heights = _with_height(rows, widths, is_kept)
    dose = np.array([rows[at].dose for at in (*widths, *heights)])
    seen = np.array([rows[at].width_um for at in widths] + [rows[at].height_um for at in heights], dtype=float)
    is_height = np.arange(len(seen)) >= len(widths)
    w = np.where(is_height, math.exp(values[1]), math.exp(values[0]))
    above = np.log(dose) - values[2]
    sigma = np.hypot(cells.line_sigma, w * scatter / np.sqrt(np.maximum(above, _NEAR)))
    residuals = (seen - 2 * w * np.sqrt(np.maximum(above, 0.0))) / sigma
    return widths, heights, _Found(values, jacobian, residuals, sigma, found.is_told), scatter, raised


class _Cells(NamedTuple):
    """Means of the widths of each cell, then of heights: dose, mean, its doubt, whether of height, for a height the
    place of its cell's width; and the doubt of each single measurement.
    """

    dose: NDArray[np.float64]
    seen: NDArray[np.float64]
    sigma: NDArray[np.float64]
    is_height: NDArray[np.bool_]
    pair: NDArray[np.int64]
    line_sigma: NDArray[np.float64]


def _cells(rows: Sequence[Row], widths: list[int], heights: list[int], found: _Found) -> _Cells:
    """Doubts are as told, or of lines within their cells; without repeats those of the fit without scatter."""
    told = _told(rows, widths, heights) if found.is_told else None
    cell, is_height = _cell_numbers(rows, widths, heights)
    seen = np.array([rows[at].width_um for at in widths] + [rows[at].height_um for at in heights], dtype=float)
    count = np.bincount(cell)
    if told is None:
        away = seen - (np.bincount(cell, seen) / count)[cell]
        told = np.empty(len(seen))
        for part, of_fit in ((~is_height, found.sigma[0]), (is_height, found.sigma[-1])):
            free = int(part.sum()) - len(np.unique(cell[part]))
            told[part] = max(float(np.sqrt(np.sum(away[part] ** 2) / free)), 1e-6) if free > 0 else of_fit
    weight = np.bincount(cell, 1 / told**2)
    first = np.asarray(np.unique(cell, return_index=True)[1], dtype=np.int64)
    every = (*widths, *heights)
    of_cells = [(rows[every[int(at)]].power_mw, rows[every[int(at)]].speed_mm_s) for at in first]
    place: dict[tuple[float, float], int] = {}
    for number, key in enumerate(of_cells):
        place.setdefault(key, number)
    return _Cells(
        np.array([power**2 / speed for power, speed in of_cells]),
        np.bincount(cell, seen / told**2) / weight,
        1 / np.sqrt(weight),
        is_height[first],
        np.array([place[key] for key in of_cells], dtype=np.int64),
        told,
    )


def _cell_numbers(
    rows: Sequence[Row], widths: list[int], heights: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Number of the cell of each measurement, those of widths first, and whether it is a height."""
    is_height = np.arange(len(widths) + len(heights)) >= len(widths)
    names = [
        (rows[one].power_mw, rows[one].speed_mm_s, high)
        for one, high in zip((*widths, *heights), is_height.tolist(), strict=True)
    ]
    number = {name: k for k, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.int64), is_height


def _explained(cells: _Cells) -> tuple[Fitted, float, float]:
    """The fit with the likeliest scatter of ln dose, how many times larger doubts have to be, and that scatter."""
    from scipy import optimize

    solver: Any = optimize  # its annotations are partial
    logs = (math.log(_LEAST_SCATTER), math.log(_MOST_SCATTER))

    def unlikely(log: float) -> float:
        return _of_cells(cells, math.exp(log))[1]

    best = solver.minimize_scalar(unlikely, bounds=logs, method="bounded", options={"xatol": 0.05})
    scatter = math.exp(float(best.x))
    found, _ = _of_cells(cells, scatter)
    chi2, degrees = float(np.sum(found[2] ** 2)), len(cells.seen) - found[1].shape[1]
    p_value = _p_value(chi2, degrees)
    is_left = p_value is not None and p_value < _UNLIKELY
    return found, math.sqrt(chi2 / degrees) if is_left else 1.0, scatter


def _of_cells(cells: _Cells, scatter: float) -> tuple[Fitted, float]:
    """The fit of cells whose ln dose scatters, and -2 ln of its restricted likelihood."""
    left, zero = cells.sigma, np.zeros(len(cells.seen))
    found = _fit(cells.dose, cells.seen, cells.sigma, cells.is_height, (zero, cells.pair))
    for _ in range(_SCATTER_ROUNDS):
        w = np.where(cells.is_height, math.exp(found[0][1]), math.exp(found[0][0]))
        slope = w / np.sqrt(np.maximum(np.log(cells.dose) - found[0][2], _NEAR))
        own = np.hypot(cells.sigma, scatter * slope)
        shared = np.where(cells.is_height, scatter**2 * slope * slope[cells.pair] / own[cells.pair], 0.0)
        left = np.sqrt(np.maximum(own**2 - shared**2, cells.sigma**2))
        found = _fit(cells.dose, cells.seen, left, cells.is_height, (shared, cells.pair))
    size = float(np.linalg.slogdet(found[1].T @ found[1])[1])
    return found, float(np.sum(found[2] ** 2) + 2 * np.sum(np.log(left))) + size


def _weighted(rows: Sequence[Row], widths: list[int], heights: list[int]) -> _Found:
    """The fit of some rows, with doubts as told or from the scatter."""
    dose = np.array([rows[at].dose for at in (*widths, *heights)])
    seen = np.array([rows[at].width_um for at in widths] + [rows[at].height_um for at in heights], dtype=float)
    n, is_height = len(widths), np.arange(len(seen)) >= len(widths)
    told = _told(rows, widths, heights)
    sigma = np.ones(len(seen)) if told is None else told
    values, jacobian, residuals = _fit(dose, seen, sigma, is_height)
    for _ in range(_SCATTER_ROUNDS if told is None else 0):
        parts = (~is_height, is_height)
        free = (n - (2 if not heights else 1.5), len(heights) - 1.5)
        for part, degrees in zip(parts, free, strict=True):
            if part.any():
                raw = residuals[part] * sigma[part]
                sigma[part] = max(float(np.sqrt(np.sum(raw**2) / max(degrees, 0.5))), 1e-6)
        values, jacobian, residuals = _fit(dose, seen, sigma, is_height)
    return _Found(values, jacobian, residuals, sigma, told is not None)


def _covariance(jacobian: NDArray[np.float64]) -> NDArray[np.float64]:
    """(J^T J)^-1 by columns of length 1. Raises DataRefused where the measurements do not tell all apart."""
    length = np.linalg.norm(jacobian, axis=0)
    if bool(np.isfinite(length).all()) and bool((length > 0).all()):
        parts = np.linalg.svd(jacobian / length, compute_uv=False)
        if parts[-1] > _LEAST_RANK * parts[0]:
            scaled: NDArray[np.float64] = jacobian / length
            return np.asarray(np.linalg.inv(scaled.T @ scaled) / np.outer(length, length), dtype=np.float64)
    raise DataRefused(
        "calibration: the measurements do not tell focus and threshold apart; check width_um and its doubts, which "
        "should be alike, and measure lines of other powers or speeds"
    )


def _lack_of_fit(
    rows: Sequence[Row], widths: list[int], heights: list[int], residuals: NDArray[np.float64], fitted: int
) -> float | None:
    """F test of cells about the fit against lines within their cells; None without repeats."""
    from scipy.special import fdtrc

    cell, _ = _cell_numbers(rows, widths, heights)
    count = np.bincount(cell)
    mean = np.bincount(cell, residuals) / count
    within = float(np.sum((residuals - mean[cell]) ** 2))
    free, inner = len(count) - fitted, len(cell) - len(count)
    if free < 1 or inner < 1 or within <= 0:
        return None
    return float(fdtrc(free, inner, (float(np.sum(count * mean**2)) / free) / (within / inner)))


def _check_enough(rows: Sequence[Row], widths: list[int], heights: list[int], is_kept: bool) -> None:
    if len(widths) < _LEAST_LINES:
        raise DataRefused(
            f"calibration: {len(widths)} lines have a width; {_LEAST_LINES} or more are needed to tell w_xy and "
            "the threshold: measure more widths (width_um)"
        )
    doses = np.array([rows[at].dose for at in widths])
    if len(np.unique(doses)) < 2 or doses.max() < _LEAST_SPREAD * doses.min():
        raise DataRefused(
            f"calibration: power^2/speed of the lines with a width goes from {doses.min():.4g} to "
            f"{doses.max():.4g} mW^2 s/mm; w_xy and the threshold are told apart from a factor of "
            f"{_LEAST_SPREAD:g} on: measure lines of other powers or speeds"
        )
    if not is_kept and len(heights) < _LEAST_LINES:
        raise DataRefused(
            f"calibration: {len(heights)} printed lines have a height; {_LEAST_LINES} or more are needed to tell "
            "w_z: measure more (height_um, from the side), or keep the profile's length (--keep-length)"
        )


def _told(rows: Sequence[Row], widths: list[int], heights: list[int]) -> NDArray[np.float64] | None:
    """Doubts of all measurements, or None where none is told. Raises DataRefused where some are."""
    found = [rows[at].width_sigma_um for at in widths] + [rows[at].height_sigma_um for at in heights]
    if all(one is None for one in found):
        return None
    if any(one is None for one in found):
        raise DataRefused(
            "calibration: some measurements have a doubt (width_sigma_um, height_sigma_um) and some have none; "
            "give all or none"
        )
    return np.array(found, dtype=np.float64)


def _fit(
    dose: NDArray[np.float64],
    seen: NDArray[np.float64],
    sigma: NDArray[np.float64],
    is_height: NDArray[np.bool_],
    shared: tuple[NDArray[np.float64], NDArray[np.int64]] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of w_xy, w_z, K; derivatives of the fitted by those used, and residuals, both in doubts.

    `shared`: of each height what it has in common with the width that the second array names (a Cholesky factor).
    """
    from scipy import optimize

    solver: Any = optimize  # its annotations are partial
    start = _start(np.log(dose[~is_height]), seen[~is_height])
    top = math.log(float(np.min(dose)))
    used = _used(bool(is_height.any()))
    first = np.array([start[0], start[0] + 1.0, min(start[1], top - 1e-6)])
    if is_height.any():
        above = np.maximum(np.log(dose[is_height]) - first[2], 1e-6)
        by_root = (seen[is_height] / (2 * np.sqrt(above))).tolist()
        first[1] = math.log(sum(by_root) / len(by_root))

    def whole(chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        values = first.copy()
        values[used] = chosen
        return values

    def in_doubts(column: NDArray[np.float64]) -> NDArray[np.float64]:
        if shared is None:
            return column / sigma
        return (column - shared[0] * np.where(is_height, (column / sigma)[shared[1]], 0.0)) / sigma

    def radii(values: NDArray[np.float64]) -> NDArray[np.float64]:
        w_xy, w_z = (math.exp(min(one, _LARGEST_LOG)) for one in values[:2].tolist())
        return np.where(is_height, w_z, w_xy)

    def misfit(chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        values = whole(chosen)
        w = radii(values)
        return in_doubts(seen - 2 * w * np.sqrt(np.maximum(np.log(dose) - values[2], 0.0)))

    def slopes(chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        values = whole(chosen)
        w = radii(values)
        root = np.sqrt(np.maximum(np.log(dose) - values[2], 1e-12))
        model = 2 * w * root
        by_value = [np.where(is_height, 0.0, model), np.where(is_height, model, 0.0), -w / root]
        return -np.column_stack([in_doubts(one) for one in by_value])[:, used]

    bounds = (np.full(len(used), -np.inf), np.array([np.inf, np.inf, top - 1e-9])[used])
    found = solver.least_squares(misfit, first[used], jac=slopes, bounds=bounds, x_scale="jac", max_nfev=_STEPS)
    if not found.success:
        raise DataRefused("calibration: widths do not follow power^2/speed as lines do; check the sheet")
    return whole(np.asarray(found.x)), slopes(np.asarray(found.x)), misfit(np.asarray(found.x))


def _used(has_heights: bool) -> list[int]:
    """Which of w_xy, w_z and K are fitted: without heights w_z is left alone, as nothing tells it."""
    return [0, 1, 2] if has_heights else [0, 2]


def _start(logs: NDArray[np.float64], width: NDArray[np.float64]) -> tuple[float, float]:
    """ln w_xy and ln K from the straight line width^2 = 4 w^2 (ln dose - ln K) of the least sum of distances, which
    single lines do not turn. Raises DataRefused if it falls.
    """
    square = width**2
    weight = np.ones(len(square))
    slope, level = 0.0, 0.0
    least = 1e-6 * float(square.max())
    for _ in range(_LAD_ROUNDS):
        slope, level = np.polyfit(logs, square, 1, w=np.sqrt(weight)).tolist()
        weight = least / np.maximum(np.abs(square - level - slope * logs), least)
    if not 4e-12 < slope < math.inf:
        raise DataRefused(
            "calibration: widths do not grow with power^2/speed; check power_mw, speed_mm_s and width_um"
        )
    return 0.5 * math.log(slope / 4), -level / slope


def _p_value(chi2: float, degrees: int) -> float | None:
    from scipy.special import gammaincc

    return float(gammaincc(degrees / 2, chi2 / 2)) if degrees > 0 else None


def _contradictions(rows: Sequence[Row], fit: LineFit, residuals: NDArray[np.float64]) -> tuple[str, ...]:
    """What speaks against the fitted threshold: lines on its wrong side, or so near that they alone carry it."""
    doubt = math.sqrt(fit.covariance[2, 2])
    above = {at: math.log(row.dose / fit.line_threshold_mw2_s_mm) for at, row in enumerate(rows)}
    said: list[str] = []
    missed = [at for at, row in enumerate(rows) if row.width_um == 0 and above[at] > _FAR + _SIGMAS * doubt]
    if missed:
        said.append(f"{len(missed)} lines above the threshold were not printed: {_named(rows, missed)}")
    if fit.left_out:
        said.append(
            f"{len(fit.left_out)} printed lines are not {_NEAR:.0%} above the fitted threshold in power^2/speed "
            f"and were left out: {_named(rows, fit.left_out)}; measure them again, or print more lines above it"
        )
    least = min(above[at] for at in fit.width_rows)
    if least < _SIGMAS * doubt:
        said.append(
            f"the faintest fitted line is {max(least, 0):.1%} above the threshold in power^2/speed, within "
            f"{_SIGMAS:g} doubts of it ({doubt:.1%} each): threshold and doubt may be off; measure lines 1.2 to 3 "
            "times above it"
        )
    far = int(np.abs(residuals).argmax())
    if math.erfc(abs(float(residuals[far])) / math.sqrt(2)) * len(residuals) < _UNLIKELY:
        kind = "width" if far < len(fit.width_rows) else "height"
        at = (*fit.width_rows, *fit.height_rows)[far]
        said.append(
            f"the {kind} of line {_named(rows, [at])} is {abs(float(residuals[far])):.1f} doubts off the fit, more "
            "than scatter gives; look at it again"
        )
    return tuple(said)


def _named(rows: Sequence[Row], chosen: Sequence[int]) -> str:
    """Lines by their labels, or power and speed."""
    some = (rows[at] for at in chosen[:_NAMED])
    words = ", ".join(row.label or f"{row.power_mw:g} mW at {row.speed_mm_s:g} mm/s" for row in some)
    return words + (", ..." if len(chosen) > _NAMED else "")
