"""Focus and threshold from the widths and heights of lone lines, with their doubts.

A line of power P and speed v has in its middle the dose P^2/v, and prints where its Gaussian is above the threshold
K (Serbin et al., Opt. Lett. 28, 301, 2003, for lines in place of points):

    width = 2 w_xy sqrt(ln(P^2/(v K)))        height = 2 w_z sqrt(ln(P^2/(v K)))

w_xy, w_z and K are fitted together, by their logarithms, weighted by the measurements' doubts. Where the sheet
tells no doubts, one of all widths and one of all heights are estimated from the scatter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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


@dataclass(frozen=True, slots=True)
class LineFit:
    """What the lines tell. `covariance` (3, 3) is of the logarithms of w_xy, w_z and K; of w_z 0 where it was kept.

    `residuals` are measured less fitted (um) of widths, then heights, of the rows in `width_rows`, `height_rows`.
    `p_value`: how often scatter as told gives a misfit as large; None where the scatter was estimated.
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
    widths = [at for at, row in enumerate(rows) if row.width_um]
    heights = [at for at, row in enumerate(rows) if row.height_um and row.width_um] if kept_w_z_um is None else []
    _check_enough(rows, widths, heights, kept_w_z_um is not None)
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
    used = _used(is_height)
    covariance = np.zeros((3, 3))
    covariance[np.ix_(used, used)] = np.linalg.inv(jacobian.T @ jacobian)
    w_xy, w_z, threshold = np.exp(values).tolist()
    chi2, degrees = float(np.sum(residuals**2)), len(seen) - len(used)
    return LineFit(
        w_xy,
        w_z if kept_w_z_um is None else kept_w_z_um,
        threshold,
        covariance,
        chi2,
        degrees,
        None if told is None else _p_value(chi2, degrees),
        tuple(widths),
        tuple(heights),
        residuals * sigma,
        kept_w_z_um is not None,
        _contradictions(rows, threshold),
    )


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
    dose: NDArray[np.float64], seen: NDArray[np.float64], sigma: NDArray[np.float64], is_height: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Logarithms of w_xy, w_z, K; derivatives of the fitted by those used, and residuals, both in doubts."""
    from scipy import optimize

    solver: Any = optimize  # its annotations are partial
    start = _start(dose[~is_height], seen[~is_height])
    top = math.log(float(np.min(dose)))
    used = _used(is_height)
    first = np.array([start[0], start[0] + 1.0, min(start[1], top - 1e-6)])
    if is_height.any():
        above = np.maximum(np.log(dose[is_height]) - first[2], 1e-6)
        by_root = (seen[is_height] / (2 * np.sqrt(above))).tolist()
        first[1] = math.log(sum(by_root) / len(by_root))

    def whole(chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        values = first.copy()
        values[used] = chosen
        return values

    def misfit(chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        values = whole(chosen)
        w = np.where(is_height, math.exp(values[1]), math.exp(values[0]))
        return (seen - 2 * w * np.sqrt(np.maximum(np.log(dose) - values[2], 0.0))) / sigma

    def slopes(chosen: NDArray[np.float64]) -> NDArray[np.float64]:
        values = whole(chosen)
        w = np.where(is_height, math.exp(values[1]), math.exp(values[0]))
        root = np.sqrt(np.maximum(np.log(dose) - values[2], 1e-12))
        model = 2 * w * root
        by_value = [np.where(is_height, 0.0, model), np.where(is_height, model, 0.0), -w / root]
        return -np.column_stack(by_value)[:, used] / sigma[:, None]

    bounds = (np.full(len(used), -np.inf), np.array([np.inf, np.inf, top - 1e-9])[used])
    found = solver.least_squares(misfit, first[used], jac=slopes, bounds=bounds, x_scale="jac", max_nfev=_STEPS)
    if not found.success:
        raise DataRefused("calibration: widths do not follow power^2/speed as lines do; check the sheet")
    return whole(np.asarray(found.x)), slopes(np.asarray(found.x)), misfit(np.asarray(found.x))


def _used(is_height: NDArray[np.bool_]) -> list[int]:
    """Which of w_xy, w_z and K are fitted: without heights w_z is left alone, as nothing tells it."""
    return [0, 1, 2] if is_height.any() else [0, 2]


def _start(dose: NDArray[np.float64], width: NDArray[np.float64]) -> tuple[float, float]:
    """ln w_xy and ln K from the straight line width^2 = 4 w^2 (ln dose - ln K). Raises DataRefused if it falls."""
    slope, level = np.polyfit(np.log(dose), width**2, 1).tolist()
    if slope <= 0:
        raise DataRefused(
            "calibration: widths do not grow with power^2/speed; check power_mw, speed_mm_s and width_um"
        )
    return 0.5 * float(np.log(slope / 4)), -level / slope


def _p_value(chi2: float, degrees: int) -> float | None:
    from scipy.special import gammaincc

    return float(gammaincc(degrees / 2, chi2 / 2)) if degrees > 0 else None


def _contradictions(rows: Sequence[Row], threshold: float) -> tuple[str, ...]:
    """Lines that printed nothing though their dose is well above the fitted threshold."""
    missed = [row for row in rows if row.width_um == 0 and row.dose > _LEAST_SPREAD * threshold]
    if not missed:
        return ()
    labels = ", ".join(row.label or f"{row.power_mw:g} mW at {row.speed_mm_s:g} mm/s" for row in missed[:5])
    return (f"{len(missed)} lines above the threshold were not printed: {labels}",)
