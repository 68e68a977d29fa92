"""Figures of diffraction: pattern with fit, difference and ticks; peaks; candidates laid over a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from poliqi.base.chartstyle import CHART_STYLE, check_format
from poliqi.edge.wholefile import whole_file
from poliqi.lab.xray.diffraction.calculated import Lines
from poliqi.lab.xray.diffraction.pattern import Pattern
from poliqi.lab.xray.diffraction.peaks import Peak
from poliqi.lab.xray.diffraction.refinement import Fit

__all__ = ["draw_fit", "draw_lines", "draw_peaks"]

_POINTS: Final = "#5b6b7a"
_TICKS: Final = ("#1b6ca8", "#c05a1c", "#2a7d3f", "#7a3b8f", "#8a6d1c", "#3b7f8f")
_FIT: Final = "#c05a1c"
_LABEL: Final = "2θ (degrees)"
_MOST_LABELS: Final = 40


def draw_fit(fit: Fit, path: Path, *, overwrite: bool = False) -> None:
    """Observed, calculated, lines of each phase, and the difference over sigma. Raises ConfigError, StoreError."""
    rows = len(fit.phases)
    with _Chart(path, _titled(fit.title, fit.simulated), overwrite, (5.2, 0.28 * rows, 1.5)) as axes:
        top, middle, bottom = axes
        x = fit.two_theta_deg
        top.plot(x, fit.observed, ".", ms=2.5, color=_POINTS, label="observed", rasterized=True)
        top.plot(x, fit.calculated, color=_FIT, lw=1.0, label=f"{fit.method.value}, Rwp {fit.rwp:.4f}")
        top.plot(x, fit.background, color="0.5", lw=0.8, ls="--", label="background")
        top.set(ylabel="intensity", ylim=(None, 1.05 * float(fit.observed.max())))
        top.legend(frameon=False, loc="upper right")
        for row, phase in enumerate(fit.phases):
            ticks = phase.ticks_deg[(phase.ticks_deg >= x[0]) & (phase.ticks_deg <= x[-1])]
            color = _TICKS[row % len(_TICKS)]
            middle.vlines(ticks, -row - 0.4, -row + 0.4, color=color, lw=0.8)
            middle.text(
                1.005, -row, _plain(phase.name), color=color, fontsize=8, va="center", transform=_side(middle)
            )
        middle.set(ylim=(-rows + 0.4, 0.6), yticks=[])
        middle.grid(visible=False)
        middle.spines["left"].set_visible(False)
        bottom.plot(x, (fit.observed - fit.calculated) / fit.sigma, color=_POINTS, lw=0.6, rasterized=True)
        bottom.axhline(0, color="0.3", lw=0.8)
        bottom.set(ylabel="difference / σ", xlabel=_LABEL, xlim=(x[0], x[-1]))


def draw_peaks(pattern: Pattern, peaks: Sequence[Peak], path: Path, *, overwrite: bool = False) -> None:
    """The pattern with a mark and d for each peak. Raises ConfigError, StoreError."""
    with _Chart(path, _titled(pattern.title, pattern.simulated), overwrite, (5.2, 1.5)) as axes:
        top, bottom = axes
        x = pattern.two_theta_deg
        top.plot(x, pattern.intensity, color=_POINTS, lw=0.7, rasterized=True)
        most = float(pattern.intensity.max())
        strongest = sorted(peaks, key=lambda peak: -peak.area.value)[:_MOST_LABELS]
        for peak in peaks:
            at = peak.two_theta_deg.value
            height = float(np.interp(at, x, pattern.intensity))
            top.plot([at], [height + 0.03 * most], marker="v", ms=4, color=_FIT)
            if peak in strongest:
                words = f"{peak.d_angstrom.value:.3f}"
                top.text(at, height + 0.06 * most, words, rotation=90, fontsize=7, ha="center", va="bottom")
        top.set(ylabel="intensity", ylim=(0, 1.25 * most))
        top.text(0.99, 0.98, "numbers: d in Å", transform=top.transAxes, ha="right", va="top", fontsize=8)
        places = [peak.two_theta_deg.value for peak in peaks]
        widths = [peak.fwhm_deg.value for peak in peaks]
        doubts = [peak.fwhm_deg.sigma or 0.0 for peak in peaks]
        bottom.errorbar(places, widths, doubts, fmt="o", ms=3, color=_FIT, elinewidth=0.8)
        bottom.set(ylabel="FWHM (°)", xlabel=_LABEL, xlim=(x[0], x[-1]), ylim=(0, None))


def draw_lines(
    pattern: Pattern | None, sets: Sequence[tuple[str, Lines]], path: Path, title: str, *, overwrite: bool = False
) -> None:
    """Calculated lines of some structures, over a pattern where there is one. Raises ConfigError, StoreError."""
    heights = (*((3.6,) if pattern is not None else ()), *(1.1 for _ in sets))
    with _Chart(path, title, overwrite, heights) as axes:
        rest = list(axes)
        if pattern is not None:
            top = rest.pop(0)
            top.plot(pattern.two_theta_deg, pattern.intensity, color=_POINTS, lw=0.7, rasterized=True)
            top.set(ylabel="intensity")
        for row, (axis, (name, lines)) in enumerate(zip(rest, sets, strict=True)):
            color = _TICKS[row % len(_TICKS)]
            axis.vlines(lines.two_theta_deg, 0, lines.intensity, color=color, lw=1.2)
            axis.set(ylim=(0, 112), ylabel="rel. (%)")
            axis.text(0.995, 0.95, _plain(name), transform=axis.transAxes, ha="right", va="top", color=color)
        if pattern is not None:
            axes[-1].set_xlim(*pattern.range_deg)
        axes[-1].set_xlabel(_LABEL)


class _Chart:
    """A figure of panels that share their angle: written whole once all is drawn."""

    def __init__(self, path: Path, title: str, overwrite: bool, heights: tuple[float, ...]) -> None:
        check_format(path)
        self._path, self._title, self._overwrite, self._heights = path, title, overwrite, heights
        self._figure: Any = None
        self._style: Any = None

    def __enter__(self) -> list[Any]:
        import matplotlib
        from matplotlib.figure import Figure

        style: Any = matplotlib  # its annotations are partial
        self._style = style.rc_context(CHART_STYLE)
        self._style.__enter__()
        self._figure = Figure(figsize=(8.4, max(sum(self._heights) * 0.78, 2.4)), layout="constrained")
        axes = self._figure.subplots(len(self._heights), 1, sharex=True, height_ratios=self._heights, squeeze=False)
        return list(axes[:, 0])

    def __exit__(self, kind: object, *rest: object) -> None:
        try:
            if kind is None:
                self._figure.suptitle(_plain(self._title), x=0.01, ha="left", fontsize=12)
                form = self._path.suffix.lower().lstrip(".")
                with whole_file(self._path, overwrite=self._overwrite) as file:
                    facts = {"Date": None} if form == "svg" else None
                    self._figure.savefig(file, format=form, dpi=150, metadata=facts)
        finally:
            self._style.__exit__(None, None, None)


def _titled(title: str, simulated: bool) -> str:
    return title[:80] + (" (simulated data)" if simulated else "")


def _plain(text: str) -> str:
    """Nobody's dollar sign begins a formula."""
    return text.replace("$", r"\$")


def _side(axis: Any) -> Any:
    """Across in parts of the panel, upwards in its numbers."""
    return axis.get_yaxis_transform()
