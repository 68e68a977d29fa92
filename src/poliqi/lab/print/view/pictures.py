"""Pictures of vessels in tissue, drawn into axes of matplotlib: from outside, and cut by a plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from poliqi.base.errors import ConfigError
from poliqi.lab.print.network import Kind
from poliqi.lab.print.view.camera import ISOMETRIC, Camera, Frame, frame_of
from poliqi.lab.print.view.outline import Outline, outline_of
from poliqi.lab.print.view.palette import (
    KIND_COLOURS,
    KIND_NAMES,
    TISSUE,
    kind_rgb,
    scale_rgb,
    shares,
)

if TYPE_CHECKING:
    from poliqi.lab.print.domain.domain import Domain
    from poliqi.lab.print.network import Network

__all__ = ["Grid", "Quantity", "draw_section", "draw_vessels", "limits_of"]

_PIXELS: Final = 1400
_SECTION_PIXELS: Final = 900
_INK: Final = "#51606d"
_AXES: Final = ("x", "y", "z")
_AXIS_COLOURS: Final = ("#a23b2a", "#3c7a3f", "#2b5d9b")
_TURNS: Final = {
    0: np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]),
    1: np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    2: np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]),
}
"""Rotations that look along each axis: which world axis goes right, which up."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number for each segment, (m,), to colour by; nan where there is none. `label` has the unit."""

    values: NDArray[np.float64]
    label: str
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A quantity of the tissue at the middles of voxels, (nx, ny, nz), nan outside; the first at `origin_um`.

    `marked`: a line is drawn where the quantity has this value. `limits`: of the scale, else from nought or the
    least, where that is below, to the greatest.
    """

    values: NDArray[Any]
    origin_um: tuple[float, float, float]
    spacing_um: float
    label: str
    marked: float | None = None
    limits: tuple[float, float] | None = None


def limits_of(field: Grid) -> tuple[float, float]:
    """Least and greatest of its scale."""
    known = np.asarray(field.values)[np.isfinite(field.values)]
    if field.limits is not None or not known.size:
        return field.limits or (0.0, 1.0)
    low = min(0.0, float(known.min()))
    return low, max(float(known.max()), low + 1e-12)


def draw_vessels(
    axes: Any,
    network: Network,
    domain: Domain,
    colour: Quantity | None = None,
    *,
    camera: Camera = ISOMETRIC,
    outline: Outline | None = None,
    pixels: int = _PIXELS,
) -> None:
    """Vessels in the outline of their tissue, shaded, and a bar of length; by kind where no `colour` is told.

    `outline`: the domain's where somebody has it already. Raises ConfigError where a quantity has not one number
    for each segment.
    """
    _check(network, colour)
    shape = outline_of(domain) if outline is None else outline
    reach = np.concatenate([shape.points_um, network.points_um])
    frame = frame_of(camera.rotation, reach, pixels)
    from poliqi.lab.print.view.shading import shaded_image

    if colour is None:
        rgb = kind_rgb(network.kind)
    else:
        share, low, high = shares(colour.values, is_log=colour.is_log)
        rgb = scale_rgb(share)
        _bar(axes, low, high, colour)
    _draw_outline(axes, shape, frame)
    image = shaded_image(network, frame, rgb)
    axes.imshow(image, origin="lower", extent=frame.extent_um, interpolation="antialiased", zorder=3)
    _finish(axes, frame)
    _draw_axes(axes, frame)
    if colour is None:
        _kinds(axes, network)


def draw_section(
    axes: Any,
    domain: Domain,
    network: Network,
    axis: int,
    at_um: float,
    field: Grid | None = None,
    *,
    colour: Quantity | None = None,
) -> None:
    """What the plane at `at_um` of an axis (0 x, 1 y, 2 z) cuts: tissue, lumens, and a quantity of the tissue.

    Coordinates are those of the tissue, in um. Raises ConfigError for an axis that is none, or a quantity that has
    not one number for each segment.
    """
    if axis not in _TURNS:
        raise ConfigError(f"a section: axis {axis} is none; give 0, 1 or 2 for x, y or z")
    _check(network, colour)
    from poliqi.lab.print.view.shading import cut_image

    turn = _TURNS[axis]
    bounds = np.asarray(domain.bounds_um, np.float64)
    frame = frame_of(turn, bounds, _SECTION_PIXELS)
    right, up = (next(i for i in range(3) if turn[row, i]) for row in (0, 1))
    u = frame.low_um[0] + frame.um_per_pixel * np.arange(frame.shape[1])
    v = frame.low_um[1] + frame.um_per_pixel * np.arange(frame.shape[0])
    inside = _inside(domain, (right, up), u, v, axis, at_um)
    owner = cut_image(network, frame, float(turn[2, axis]) * at_um)
    image = np.zeros((*frame.shape, 4))
    image[inside] = (*_rgb(TISSUE), 1.0)
    if field is not None:
        _overlay(axes, image, inside & (owner < 0), field, (right, up, axis), (u, v, at_um))
    rgb = kind_rgb(network.kind) if colour is None else scale_rgb(shares(colour.values, is_log=colour.is_log)[0])
    image[owner >= 0, :3] = rgb[owner[owner >= 0]]
    image[owner >= 0, 3] = 1.0
    axes.imshow(image, origin="lower", extent=frame.extent_um, interpolation="antialiased")
    if field is not None:
        axes.contour(u, v, (owner >= 0).astype(np.float64), levels=[0.5], colors="white", linewidths=0.7)
    axes.contour(u, v, inside.astype(np.float64), levels=[0.5], colors=_INK, linewidths=0.8)
    axes.set_aspect("equal")
    axes.grid(visible=False)
    axes.set_xlabel(f"{_AXES[right]} in um")
    axes.set_ylabel(f"{_AXES[up]} in um")
    if colour is None and field is None:
        _kinds(axes, network, np.unique(network.kind[np.unique(owner[owner >= 0])]))


# ---------------------------------------------------------------- of vessels


def _check(network: Network, colour: Quantity | None) -> None:
    if colour is not None and colour.values.shape != network.radius_um.shape:
        raise ConfigError(
            f"a picture: {colour.label} has {colour.values.shape} values for {len(network.radius_um)} segments"
        )


def _draw_outline(axes: Any, shape: Outline, frame: Frame) -> None:
    """The tissue's surface as a tint, its sharp edges and its silhouette as lines."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    flat = frame.turned(shape.points_um)[:, :2]
    towards = shape.normals() @ frame.rotation[2]
    front = flat[shape.triangles[towards > 0]]
    closed = np.concatenate([front, front[:, :1]], axis=1).reshape(-1, 2)
    codes = np.tile(np.array([Path.MOVETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY], np.uint8), len(front))
    axes.add_patch(PathPatch(Path(closed, codes), facecolor="#f3f5f7", edgecolor="none", zorder=1))
    turns = np.sign(towards[shape.pairs[:, 2]]) != np.sign(towards[shape.pairs[:, 3]])
    for edges, ink, wide in ((shape.edges, "#c3ccd4", 0.6), (shape.pairs[turns, :2], "#8b99a6", 0.9)):
        axes.add_collection(LineCollection(list(flat[edges]), colors=ink, linewidths=wide, zorder=2))


def _finish(axes: Any, frame: Frame) -> None:
    """No ticks, equal scales, and a bar of a round length."""
    left, right, low, high = frame.extent_um
    length = _round_length(0.28 * (right - left))
    y = low - 0.03 * (high - low)
    axes.plot([left, left + length], [y, y], color=_INK, lw=2.5, solid_capstyle="butt", zorder=4)
    label = f"{length:g} um" if length < 1000 else f"{length / 1000:g} mm"
    axes.text(left + length, y, f"  {label}", va="center", fontsize=8, color=_INK, zorder=4)
    axes.set_xlim(left, right)
    axes.set_ylim(low - 0.09 * (high - low), high)
    axes.set_aspect("equal")
    axes.axis("off")


def _draw_axes(axes: Any, frame: Frame) -> None:
    """x, y, z as short lines in the corner."""
    left, right, low, high = frame.extent_um
    arm = 0.06 * max(right - left, high - low)
    at = np.array([right - 1.5 * arm, low + 0.3 * arm])
    for name, ink, step in zip(_AXES, _AXIS_COLOURS, frame.rotation[:2].T, strict=True):
        end = at + arm * step
        axes.plot([at[0], end[0]], [at[1], end[1]], color=ink, lw=1.4, zorder=4)
        axes.text(*(at + 1.35 * arm * step), name, color=ink, fontsize=8, ha="center", va="center", zorder=4)


def _kinds(axes: Any, network: Network, kinds: NDArray[Any] | None = None) -> None:
    from matplotlib.patches import Patch

    there = np.unique(network.kind) if kinds is None else kinds
    handles = [Patch(color=KIND_COLOURS[Kind(int(k))], label=KIND_NAMES[Kind(int(k))]) for k in there]
    if handles:
        axes.legend(handles=handles, fontsize=8, loc="upper left", frameon=False, handlelength=1.0)


def _bar(axes: Any, low: float, high: float, colour: Quantity) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    if not high > low:
        high = low + max(abs(low), 1e-12) * 1e-6
    norm: Any = LogNorm(low, high) if colour.is_log and low > 0 else Normalize(low, high)
    bar = axes.figure.colorbar(
        ScalarMappable(norm, ListedColormap(scale_rgb(np.linspace(0, 1, 256)))), ax=axes, shrink=0.7, pad=0.02
    )
    bar.set_label(colour.label, fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _round_length(length: float) -> float:
    """1, 2 or 5 times a power of ten, at most this."""
    ten = 10.0 ** np.floor(np.log10(length))
    return float(max(step * ten for step in (1, 2, 5) if step * ten <= length))


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


# ---------------------------------------------------------------- of sections


def _inside(
    domain: Domain,
    shown: tuple[int, int],
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    axis: int,
    at_um: float,
) -> NDArray[np.bool_]:
    """Which pixels (v, u) of the plane are tissue: spans of the domain along its rows."""
    right, up = shown
    others = {up: v, axis: np.full(len(v), float(at_um))}
    first, second = (others[one] for one in sorted(others))
    spans = domain.spans(right, first, second)
    mask = np.zeros((len(v), len(u)), np.bool_)
    for row in range(len(v)):
        for at in range(int(spans.offsets[row]), int(spans.offsets[row + 1])):
            start, end = np.searchsorted(u, (spans.start_um[at], spans.end_um[at]))
            mask[row, start:end] = True
    return mask


def _overlay(
    axes: Any,
    image: NDArray[np.float64],
    where: NDArray[np.bool_],
    field: Grid,
    order: tuple[int, int, int],
    plane: tuple[NDArray[np.float64], NDArray[np.float64], float],
) -> None:
    """The quantity's colours into the image, its bar, and the marked line."""
    import scipy.ndimage

    ndimage: Any = scipy.ndimage  # its annotations are partial

    right, up, axis = order
    u, v, at_um = plane
    place = np.empty((3, len(v), len(u)))
    origin = field.origin_um
    place[right] = ((u - origin[right]) / field.spacing_um)[None, :]
    place[up] = ((v - origin[up]) / field.spacing_um)[:, None]
    place[axis] = (at_um - origin[axis]) / field.spacing_um
    values = np.asarray(field.values, np.float64)
    known = np.isfinite(values)
    weight: NDArray[np.float64] = ndimage.map_coordinates(known.astype(np.float64), place, order=1, mode="nearest")
    total: NDArray[np.float64] = ndimage.map_coordinates(
        np.where(known, values, 0.0), place, order=1, mode="nearest"
    )
    shown = np.where(where & (weight > 0.05), total / np.maximum(weight, 0.05), np.nan)
    low, high = limits_of(field)
    share = shares(shown, limits=(low, high))[0]
    there = np.isfinite(share)
    image[there, :3] = scale_rgb(share)[there]
    image[there, 3] = 1.0
    _bar(axes, low, high, Quantity(values.ravel(), field.label))
    if field.marked is not None and there.any() and np.nanmin(shown) < field.marked < np.nanmax(shown):
        axes.contour(u, v, np.ma.masked_invalid(shown), levels=[field.marked], colors="#ff5d2e", linewidths=1.2)
