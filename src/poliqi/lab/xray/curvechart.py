"""A curve as a chart: intensity with its sigma as a band, logarithmic where it spans decades."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from poliqi.base.chartstyle import CHART_STYLE
from poliqi.base.errors import StoreError
from poliqi.lab.xray.curve import Axis, Curve, IntensityUnit

__all__ = ["draw_curve"]

_AXIS: Final = {
    Axis.Q_PER_NM: "q (1/nm)",
    Axis.Q_PER_ANGSTROM: "q (1/Å)",
    Axis.TWO_THETA_DEG: "2θ (degrees)",
}
_UNIT: Final = {
    IntensityUnit.COUNTS: "intensity (counts a pixel and frame)",
    IntensityUnit.PER_SECOND: "intensity (counts a pixel and second)",
    IntensityUnit.PER_CM: "intensity (1/cm)",
    IntensityUnit.ARBITRARY: "intensity (arbitrary)",
}
_DECADES: Final = 20.0
"""Ratio of the largest to the smallest intensity from which the axis is logarithmic."""


def draw_curve(curve: Curve, path: Path) -> None:
    """Draw into `path` (.svg or .png). Raises StoreError where it cannot be written."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = matplotlib  # its annotations are partial
    with style.rc_context(CHART_STYLE):
        figure: Any = Figure(figsize=(7.2, 4.6), layout="constrained")
        axes = figure.subplots()
        positive = curve.intensity > 0
        is_log = bool(positive.any()) and _span(curve) > _DECADES
        shown = positive if is_log else np.ones(curve.x.size, np.bool_)
        x, intensity, sigma = curve.x[shown], curve.intensity[shown], curve.sigma[shown]
        low = intensity - sigma
        if is_log:
            axes.set_yscale("log")
            low = np.maximum(low, intensity / 10)
            if curve.axis is not Axis.TWO_THETA_DEG and x[0] > 0:
                axes.set_xscale("log")
        axes.fill_between(x, low, intensity + sigma, color="#1b6ca8", alpha=0.25, lw=0, label="one sigma")
        axes.plot(x, intensity, color="#1b6ca8", lw=1.0)
        axes.set(xlabel=_AXIS[curve.axis], ylabel=_UNIT[curve.intensity_unit])
        axes.legend(frameon=False)
        title = f"{curve.title} (simulated)" if curve.simulated else curve.title
        figure.suptitle(title, x=0.02, ha="left", fontsize=12)
        try:
            figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix.lower() == ".svg" else None)
        except OSError as error:
            raise StoreError(f"--plot {path}: cannot be written ({error.strerror}); name another file") from None


def _span(curve: Curve) -> float:
    positive = curve.intensity[curve.intensity > 0]
    return float(positive.max() / positive.min())
