"""Colours of pictures and of the view: kinds of vessel, and scales of numbers.

Kinds differ in lightness as much as in hue, so that they are told apart with any colour vision and on grey paper.
Scales are viridis (van der Walt and Smith 2015), whose lightness rises evenly.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.print.network import Kind

__all__ = ["KIND_COLOURS", "KIND_NAMES", "LUMEN", "STOPS", "TISSUE", "kind_rgb", "scale_rgb", "shares"]

KIND_COLOURS: Final = {Kind.ARTERY: "#d8432e", Kind.VEIN: "#1f5fae", Kind.CAPILLARY: "#b892e0"}
KIND_NAMES: Final = {Kind.ARTERY: "artery", Kind.VEIN: "vein", Kind.CAPILLARY: "capillary"}
TISSUE: Final = "#e9dfcf"
LUMEN: Final = "#ffffff"
STOPS: Final = 17
"""Of `scale_rgb`, as many as the view interpolates between."""
_LEAST_SPAN: Final = 1e-9
_DECADES: Final = 1e-6
_DARKEST: Final = 0.1
"""Of viridis, so that the least is seen on a dark page."""


def kind_rgb(kind: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(m, 3) in 0 to 1."""
    table = np.array([_rgb(KIND_COLOURS[one]) for one in Kind])
    return table[kind]


def scale_rgb(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours (m, 3) of shares 0 to 1 of a scale; grey where there is none (nan)."""
    from matplotlib import colormaps

    rgb = np.asarray(colormaps["viridis"](_DARKEST + (1 - _DARKEST) * np.nan_to_num(share)), np.float64)[..., :3]
    rgb[np.isnan(share)] = 0.6
    return rgb


def shares(
    values: NDArray[np.float64], *, is_log: bool = False, limits: tuple[float, float] | None = None
) -> tuple[NDArray[np.float64], float, float]:
    """Values as shares of the way from the least to the greatest, and these two.

    `is_log`: of the way in decades; what is not above zero, or below a millionth of the greatest, is at the least.
    Values that are not finite stay nan.
    """
    finite = values[np.isfinite(values)]
    low, high = limits or ((float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0))
    if is_log and high > 0:
        above = finite[finite > high * _DECADES]
        low = limits[0] if limits else float(above.min())
        with np.errstate(invalid="ignore"):
            share = np.log(np.maximum(values, low) / low) / max(np.log(high / low), _LEAST_SPAN)
    else:
        share = (values - low) / max(high - low, _LEAST_SPAN * max(abs(high), _LEAST_SPAN))
    share = np.where(np.isfinite(values), np.clip(share, 0.0, 1.0), np.nan)
    return share, low, high


def _rgb(colour: str) -> tuple[float, float, float]:
    return (int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255)
