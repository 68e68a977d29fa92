"""The frame with its rings drawn over it, and how far the control points lie beside them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.chartstyle import CHART_STYLE
from poliqi.base.errors import StoreError
from poliqi.lab.xray.calibration.panel import Stand
from poliqi.lab.xray.calibration.result import Calibration

__all__ = ["draw_calibration"]

Floats = NDArray[np.float64]

_RING: Final = "#e4572e"
_SIDE: Final = 900
"""Pixels of the drawn frame along its longer side, at most."""


def draw_calibration(
    found: Calibration, counts: Floats, valid: NDArray[np.bool_], path: Path, title: str = ""
) -> None:
    """Draw into `path` (.svg, .png). Raises StoreError where it cannot be written."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = matplotlib  # its annotations are partial
    with style.rc_context(CHART_STYLE):
        rows, columns = found.panel.shape
        tall = min(9.0, max(3.6, 5.4 * rows / columns))
        figure: Any = Figure(figsize=(11.0, tall), layout="constrained")
        grid: Any = figure.add_gridspec(2, 2, width_ratios=(1.25, 1))
        _frame(figure.add_subplot(grid[:, 0]), found, counts, valid)
        _by_azimuth(figure.add_subplot(grid[0, 1]), found)
        _by_ring(figure.add_subplot(grid[1, 1]), found)
        x, y = found.beam_px
        words = (
            f"{len(found.rings)} rings of {found.calibrant}, {found.stand.distance_m * 1e3:.3f} mm, beam at"
            f" {x:.2f}, {y:.2f} px, residual {found.rms_px:.3f} px"
        )
        figure.suptitle(f"{title}: {words}" if title else words, x=0.02, ha="left", fontsize=11)
        try:
            plain = {"Date": None} if path.suffix.lower() == ".svg" else None
            figure.savefig(path, dpi=150, metadata=plain)
        except OSError as error:
            raise StoreError(f"{path}: cannot be written ({error.strerror}); name another folder") from None


def _frame(axes: Any, found: Calibration, counts: Floats, valid: NDArray[np.bool_]) -> None:
    from matplotlib.colors import LogNorm

    rows, columns = found.panel.shape
    bins = max(1, math.ceil(max(rows, columns) / _SIDE))
    shape = (rows // bins, bins, columns // bins, bins)
    cut = (slice(shape[0] * bins), slice(shape[2] * bins))
    known = valid[cut].reshape(shape).sum(axis=(1, 3))
    total = np.where(valid, counts, 0.0)[cut].reshape(shape).sum(axis=(1, 3))
    shown: Any = np.ma.masked_array(np.maximum(total / np.maximum(known, 1), 0.5), known == 0)
    top = max(2.0, float(np.percentile(shown.compressed(), 99.7)))
    low = max(0.5, float(np.percentile(shown.compressed(), 1.0)))
    extent = (0, shape[2] * bins, shape[0] * bins, 0)
    axes.imshow(shown, norm=LogNorm(low, max(top, 2 * low)), cmap="Greys", extent=extent, interpolation="nearest")
    axes.set_facecolor("#dfe6ee")  # what is masked
    for ring in found.rings:
        for x, y in ring_lines(found, ring.two_theta_rad):
            axes.plot(x, y, color=_RING, lw=0.7, alpha=0.85)
    x, y = found.beam_px
    if 0 <= x <= columns and 0 <= y <= rows:
        axes.plot([x], [y], marker="+", color=_RING, ms=9, mew=1.4)
    axes.set(xlim=(0, columns), ylim=(rows, 0), xlabel="x (px)", ylabel="y (px)", aspect="equal")
    axes.grid(visible=False)


def ring_lines(found: Calibration, two_theta_rad: float) -> list[tuple[Floats, Floats]]:
    """A ring on the detector: pieces of a curve, x and y in pixels, cut where it leaves the detector."""
    turn = np.linspace(-np.pi, np.pi, 721)
    stand, panel = found.stand, found.panel
    radius = _radius(stand, two_theta_rad, turn)
    x = (stand.beam_fast_m + radius * np.cos(turn)) / panel.pixel_m[1]
    y = (stand.beam_slow_m + radius * np.sin(turn)) / panel.pixel_m[0]
    rows, columns = panel.shape
    on = np.isfinite(radius) & (x > -5) & (x < columns + 5) & (y > -5) & (y < rows + 5)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    return [(x[a:b], y[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 1]


def _radius(stand: Stand, two_theta_rad: float, turn: Floats) -> Floats:
    """Distance (m) in the plane from the beam to a ring, by azimuth; not a number where the ring does not come.

    A place r e is at along = D + r e.b and across^2 = r^2 (1 - (e.b)^2), and across = along tan(2 theta).
    """
    lean = stand.lean_fast * np.cos(turn) + stand.lean_slow * np.sin(turn)
    tangent = math.tan(two_theta_rad)
    below = np.sqrt(1.0 - lean * lean) - tangent * lean
    with np.errstate(divide="ignore"):
        radius = stand.distance_m * tangent / below
    return np.where((radius > 0) & np.isfinite(radius), radius, np.nan)


def _by_azimuth(axes: Any, found: Calibration) -> None:
    slow, fast, number, off = found.points.T
    azimuth = np.degrees(found.stand.azimuth(slow, fast))
    order = {ring.number: k for k, ring in enumerate(found.rings)}
    shade = [order[int(n)] / max(1, len(order) - 1) for n in number]
    axes.scatter(azimuth, off, c=shade, cmap="viridis", s=5, lw=0, alpha=0.8)
    axes.axhline(0.0, color="0.3", lw=0.8)
    limit = _limit(found)
    axes.set(
        xlabel="azimuth (deg), inner rings dark", ylabel="residual (px)", ylim=(-limit, limit), xlim=(-180, 180)
    )
    axes.set_xticks([-180, -90, 0, 90, 180])


def _by_ring(axes: Any, found: Calibration) -> None:
    _, _, number, off = found.points.T
    places = np.arange(len(found.rings))
    parts = [off[number == ring.number] for ring in found.rings]
    low, middle, high = (np.array([np.percentile(part, q) for part in parts]) for q in (16, 50, 84))
    axes.errorbar(places, middle, yerr=[middle - low, high - middle], fmt="o", ms=4, color="#1b6ca8", lw=1.2)
    axes.axhline(0.0, color="0.3", lw=0.8)
    limit = _limit(found)
    step = max(1, len(places) // 12)
    axes.set_xticks(places[::step], [str(ring.number) for ring in found.rings][::step])
    axes.set(xlabel="ring: median, and where 68 % lie", ylabel="residual (px)", ylim=(-limit, limit))


def _limit(found: Calibration) -> float:
    return max(0.02, 4.5 * found.rms_px)
