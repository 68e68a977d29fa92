"""Charts of a design: how thick its vessels are, what a layer of the job looks like, what its time goes into."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.onepage import BLUE, GREY
from poliqi.lab.print.network import Kind
from poliqi.lab.print.view.palette import KIND_COLOURS, KIND_NAMES

if TYPE_CHECKING:
    from poliqi.lab.print.hatch.duration import Duration
    from poliqi.lab.print.network import Network

__all__ = ["draw_histogram", "draw_layer", "draw_times"]

_BINS: Final = 40
_MOST_LINES: Final = 20_000
_TIMES: Final = {
    "lit_s": "light on",
    "dark_s": "dark along lines",
    "jump_s": "jumps",
    "turn_s": "turns",
    "layer_s": "layers",
    "tile_s": "stage to tiles",
}


def draw_histogram(axes: Any, network: Network, values: NDArray[np.float64], label: str) -> None:
    """Length of vessels (mm) by a quantity of their segments (m,), one colour a kind; `label` has the unit.

    Bins are even in decades where all values are above zero and spread over more than a factor of five.
    """
    finite = np.isfinite(values)
    low, high = float(values[finite].min()), float(values[finite].max())
    wide = low > 0 and high > 5 * low
    edges = np.geomspace(low * 0.999, high * 1.001, _BINS) if wide else np.linspace(low, high + 1e-12, _BINS)
    kinds = [kind for kind in Kind if (network.kind == kind).any()]
    mine = [(network.kind == kind) & finite for kind in kinds]
    axes.hist(
        [values[one] for one in mine],
        edges,
        weights=[network.length_um[one] * 1e-3 for one in mine],
        stacked=True,
        color=[KIND_COLOURS[kind] for kind in kinds],
        label=[KIND_NAMES[kind] for kind in kinds],
    )
    if wide:
        axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("length of vessels in mm")
    axes.legend(fontsize=8, frameon=False)


def draw_layer(axes: Any, vectors_nm: NDArray[np.int32], near_um: tuple[float, float], half_um: float) -> None:
    """Lines (n, 4) x0, y0, x1, y1 of one layer around a place, so far to each side, in the order of the laser."""
    from matplotlib.collections import LineCollection

    x, y = near_um
    ends = vectors_nm.astype(np.float64) * 1e-3
    low, high = np.minimum(ends[:, :2], ends[:, 2:]), np.maximum(ends[:, :2], ends[:, 2:])
    shown = ((high >= (x - half_um, y - half_um)) & (low <= (x + half_um, y + half_um))).all(axis=1)
    lines = ends[shown][:_MOST_LINES].reshape(-1, 2, 2)
    share = np.linspace(0, 1, max(len(lines), 2))
    axes.add_collection(LineCollection(list(lines), array=share[: len(lines)], cmap="viridis", linewidths=0.9))
    axes.set_xlim(x - half_um, x + half_um)
    axes.set_ylim(y - half_um, y + half_um)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_xlabel("x in um (dark: first, yellow: last)")
    axes.set_ylabel("y in um")


def draw_times(axes: Any, duration: Duration) -> None:
    """Minutes of a job by what they go into."""
    minutes = [getattr(duration, name) / 60 for name in _TIMES]
    bars = axes.barh(list(_TIMES.values()), minutes, color=[BLUE, *([GREY] * (len(_TIMES) - 1))])
    axes.bar_label(bars, [f"{one:.3g}" for one in minutes], padding=3, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15 * max(max(minutes), 1e-9))
    axes.set_xlabel("minutes")
