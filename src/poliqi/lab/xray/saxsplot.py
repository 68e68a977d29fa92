"""Figures of small-angle analysis: the curve with its fits, Guinier with residuals, sizes with their band."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from poliqi.base.chartstyle import CHART_STYLE, check_format
from poliqi.edge.wholefile import whole_file
from poliqi.lab.xray.curve import Axis, IntensityUnit
from poliqi.lab.xray.guinier import LIMIT, Shape
from poliqi.lab.xray.saxs import Analysis, length_unit

__all__ = ["draw_saxs"]

_POINTS: Final = "#5b6b7a"
_BLUE: Final = "#1b6ca8"
_ORANGE: Final = "#c05a1c"
_GREEN: Final = "#2a7d3f"


def draw_saxs(analysis: Analysis, path: Path, *, overwrite: bool = False) -> None:
    """Panels for what was found, into `path` (.svg or .png). Raises ConfigError, StoreError."""
    check_format(path)
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = matplotlib  # its annotations are partial
    with style.rc_context(CHART_STYLE):
        right = (analysis.guinier is not None) + (analysis.sizes is not None)
        figure: Any = Figure(figsize=(10.5 if right else 6.4, 5.6), layout="constrained")
        if right:
            left, column = figure.subfigures(1, 2, width_ratios=(1.1, 1))
            _draw_curve(left.subplots(), analysis)
            parts: list[Any] = list(column.subfigures(right, 1, squeeze=False)[:, 0])
            if analysis.guinier is not None:
                _draw_guinier(parts.pop(0), analysis)
            if analysis.sizes is not None:
                _draw_sizes(parts.pop(0).subplots(), analysis)
        else:
            _draw_curve(figure.subplots(), analysis)
        title = analysis.curve.title[:80] + (" (simulated data)" if analysis.curve.simulated else "")
        figure.suptitle(title.replace("$", r"\$"), x=0.01, ha="left", fontsize=12)
        with whole_file(path, overwrite=overwrite) as file:
            kind = path.suffix.lower().lstrip(".")
            figure.savefig(file, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)


def _q_label(analysis: Analysis) -> str:
    return "q (1/nm)" if analysis.curve.axis is Axis.Q_PER_NM else "q (1/Å)"


def _length(analysis: Analysis) -> str:
    return length_unit(analysis.curve).replace("A", "Å")


def _draw_curve(axes: Any, analysis: Analysis) -> None:
    curve = analysis.curve
    use = (curve.intensity > 0) & (curve.sigma > 0)
    x, y = curve.x[use], curve.intensity[use]
    axes.set_xscale("log")
    axes.set_yscale("log")
    bars = (np.minimum(curve.sigma[use], 0.98 * y), curve.sigma[use])
    axes.errorbar(
        x,
        y,
        yerr=bars,
        fmt="o",
        ms=2.2,
        lw=0.7,
        color=_POINTS,
        alpha=0.75,
        label="simulated" if curve.simulated else "measured",
        zorder=1,
    )
    if analysis.sizes is not None:
        axes.plot(analysis.sizes.used_q, analysis.sizes.model, color=_BLUE, lw=1.6, label="size distribution")
    if analysis.fit is not None:
        q = analysis.fit.q * (10.0 if curve.axis is Axis.Q_PER_NM else 1.0)
        axes.plot(q, analysis.fit.intensity, color=_GREEN, lw=1.6, label=analysis.fit.model)
    guinier = analysis.guinier
    if guinier is not None and guinier.shape is Shape.GLOBULAR:
        q = curve.x[guinier.first : guinier.last + 1]
        model = guinier.i0 * np.exp(-((q * guinier.rg) ** 2) / 3 + guinier.kappa * (q * guinier.rg) ** 4)
        axes.plot(q, model, color=_ORANGE, lw=3.0, alpha=0.8, label="Guinier")
    high = analysis.porod
    if high is not None and high.constant > 0:
        q = np.geomspace(*high.q_range, 60)
        law = high.constant * q**-4 + high.background
        axes.plot(q[law > 0], law[law > 0], color="0.1", lw=1.2, ls="--", label=r"Porod, $q^{-4}$ + background")
    if y.size:
        axes.set_ylim(max(float(y.min()) / 2, float(y.max()) * 1e-9), float(y.max()) * 2)
    unit = "" if curve.intensity_unit is IntensityUnit.ARBITRARY else f" ({curve.intensity_unit.value})"
    axes.set(xlabel=_q_label(analysis), ylabel=f"I(q){unit}")
    _label_decades(axes.xaxis, x)
    axes.legend(frameon=False, loc="lower left", fontsize=9)


def _label_decades(axis: Any, values: Any) -> None:
    """Between the decades nothing is labelled where two or more of them are: such labels run into each other."""
    from matplotlib.ticker import NullFormatter

    if values.size and math.floor(math.log10(values[-1])) > math.floor(math.log10(values[0])):
        axis.set_minor_formatter(NullFormatter())


def _draw_guinier(part: Any, analysis: Analysis) -> None:
    guinier, curve = analysis.guinier, analysis.curve
    assert guinier is not None
    law, residuals = part.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    d, k = {Shape.GLOBULAR: (0, 3.0), Shape.ROD: (1, 2.0), Shape.SHEET: (2, 1.0)}[guinier.shape]
    last = min(guinier.last + max(guinier.points // 4, 3), curve.x.size - 1)
    shown = slice(0, last + 1)
    q, y, sigma = curve.x[shown], (curve.intensity * curve.x**d)[shown], (curve.sigma * curve.x**d)[shown]
    inside = np.zeros(q.size, np.bool_)
    inside[guinier.first : guinier.last + 1] = True
    good = (y > 0) & (sigma > 0)
    u = (q * guinier.rg) ** 2
    model = np.log(guinier.i0) - u / k + guinier.kappa * u * u
    for mask, alpha in ((good & inside, 0.9), (good & ~inside, 0.3)):
        bars = sigma[mask] / y[mask]
        law.errorbar(
            q[mask] ** 2,
            np.log(y[mask]),
            yerr=bars,
            fmt="o",
            ms=2.5,
            lw=0.8,
            color=_POINTS,
            alpha=alpha,
        )
    law.plot(q[inside] ** 2, model[inside], color=_ORANGE, lw=1.8, zorder=3)
    head = "" if d == 0 else "q " if d == 1 else "q² "
    law.set(ylabel=f"ln {head}I")
    found = f"$R_g$ = {guinier.rg:.4g} ± {guinier.rg_sigma:.2g} {_length(analysis)}"
    reach = f"$q_{{max}}R_g$ = {guinier.qmax_rg:.2f} (≤ {LIMIT})"
    law.set_title(f"Guinier: {found}, {reach}", fontsize=10, loc="left")
    scaled = (y - np.exp(model)) / np.where(sigma > 0, sigma, np.inf)
    residuals.axhline(0, color="0.5", lw=0.8)
    residuals.plot(q[inside] ** 2, scaled[inside], "o", ms=2.5, color=_ORANGE)
    edge = max(3.5, float(np.max(np.abs(scaled[inside]))) * 1.1)
    residuals.set(xlabel="q² (" + _q_label(analysis)[3:-1] + "²)", ylabel="residual / σ", ylim=(-edge, edge))


def _draw_sizes(axes: Any, analysis: Analysis) -> None:
    sizes = analysis.sizes
    assert sizes is not None
    unit = _length(analysis)
    axes.set_xscale("log")
    decades = range(math.floor(math.log10(sizes.diameter[0])), math.ceil(math.log10(sizes.diameter[-1])) + 1)
    ticks = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlim(float(sizes.diameter[0]), float(sizes.diameter[-1]))
    axes.fill_between(
        sizes.diameter,
        np.maximum(sizes.volume - sizes.volume_sigma, 0),
        sizes.volume + sizes.volume_sigma,
        color=_BLUE,
        alpha=0.25,
        lw=0,
        label="± 1 σ",
    )
    axes.plot(sizes.diameter, sizes.volume, color=_BLUE, lw=1.8, label="by volume")
    if sizes.number_mean.sigma < 0.3 * sizes.number_mean.value:
        axes.plot(sizes.diameter, sizes.number, color=_ORANGE, lw=1.4, ls="--", label="by number")
    axes.axvline(sizes.volume_mean.value, color="0.4", lw=0.8, ls=":")
    axes.set(xlabel=f"diameter of spheres ({unit})", ylabel="share per ln D")
    axes.set_ylim(bottom=0)
    mean = sizes.volume_mean
    axes.set_title(f"Sizes: volume mean {mean.value:.4g} ± {mean.sigma:.2g} {unit}", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=9)
