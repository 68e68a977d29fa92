"""Compiled sums of the light of scan lines on a grid; `layer_dose` says in plain numpy what they compute.

A line's light is a product: of error functions along it, a Gaussian across it, a Gaussian along the light. So each
interval is added to its layer's plane, and the plane, weighted, to the planes of the grid that it reaches.

Speed goal: 100 ns a voxel, one core (`python -m bench print`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel
from poliqi.lab.print.dose.capsulelines import line_in_union
from poliqi.lab.print.dose.exposure import REACH

__all__ = ["add_plane_kernel", "add_vectors_kernel", "layer_dose", "lit_kernel"]

_REACH = REACH


def layer_dose(
    axis: int, lines: NDArray[np.float64], w: float, x_um: NDArray[np.float64], y_um: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Light of `lines` (n, 3: across, from, to) along `axis` in their plane, (y, x), without truncation.

    1 stands for the middle of an endless line.
    """
    from scipy.special import erf

    along, across = (x_um, y_um) if axis == 0 else (y_um, x_um)
    of_line = 0.5 * (erf((along - lines[:, 1:2]) / w) - erf((along - lines[:, 2:3]) / w))
    of_across = np.exp(-((across - lines[:, :1]) ** 2) / w**2)
    plane = np.einsum("na,nb->ab", of_across, of_line)
    return plane if axis == 0 else plane.T


@kernel
def add_vectors_kernel(
    axis: int,
    lines: NDArray[np.float64],
    w: float,
    low: tuple[float, float],
    step: tuple[float, float],
    plane: NDArray[np.float32],
    along: NDArray[np.float64],
    across: NDArray[np.float64],
) -> None:
    """Add the light of `lines` (n, 3) to a `plane` (y, x) whose voxels lie at `low` (x, y) + i `step`.

    `along` and `across` are room for as many numbers as the plane is long. Light beyond 4 w is left out.
    """
    n_along = plane.shape[1] if axis == 0 else plane.shape[0]
    n_across = plane.shape[0] if axis == 0 else plane.shape[1]
    low_along = low[0] if axis == 0 else low[1]
    low_across = low[1] if axis == 0 else low[0]
    by_along = step[0] if axis == 0 else step[1]
    by_across = step[1] if axis == 0 else step[0]
    far = _REACH * w
    for n in range(lines.shape[0]):
        place, start, end = lines[n, 0], lines[n, 1], lines[n, 2]
        i0 = max(math.ceil((start - far - low_along) / by_along), 0)
        i1 = min(math.floor((end + far - low_along) / by_along) + 1, n_along)
        j0 = max(math.ceil((place - far - low_across) / by_across), 0)
        j1 = min(math.floor((place + far - low_across) / by_across) + 1, n_across)
        if i0 >= i1 or j0 >= j1:
            continue
        for i in range(i0, i1):
            at = low_along + i * by_along
            one = (at - start) / w
            two = (at - end) / w
            lit = 1.0 if one > _REACH else math.erf(one)
            lit += 1.0 if two < -_REACH else -math.erf(two)
            along[i] = 0.5 * lit
        for j in range(j0, j1):
            off = (low_across + j * by_across - place) / w
            across[j] = math.exp(-off * off)
        if axis == 0:
            for j in range(j0, j1):
                weight = across[j]
                row = plane[j]
                for i in range(i0, i1):
                    row[i] += np.float32(weight * along[i])
        else:
            for i in range(i0, i1):
                weight = along[i]
                row = plane[i]
                for j in range(j0, j1):
                    row[j] += np.float32(weight * across[j])


@kernel
def add_plane_kernel(
    plane: NDArray[np.float32], weights: NDArray[np.float32], first: int, values: NDArray[np.float32]
) -> None:
    """Add a `plane` (y, x) to planes `first` and following of `values` (z, y, x), each with its weight."""
    flat = plane.reshape(-1)
    for k in range(weights.size):
        weight = weights[k]
        out = values[first + k].reshape(-1)
        for i in range(flat.size):
            out[i] += weight * flat[i]


@kernel
def lit_kernel(
    table: NDArray[np.float64],
    near: NDArray[np.int64],
    kind: int,
    wall: float,
    axis: int,
    across: NDArray[np.float64],
    z: float,
    offsets: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    window: tuple[float, float],
    out: NDArray[np.float64],
) -> int:
    """Lit intervals of lines at `across` in the plane z, as rows (across, from, to) of `out`; returns how many.

    The domain's intervals of line i are offsets[i] to offsets[i + 1] of `starts` and `ends`. `kind` and `wall` are
    the exposure's. Returns -1 where `out` is too short.
    """
    cut = np.empty((near.size, 2))
    keep = np.empty((near.size + 1, 2))
    count = 0
    for i in range(across.size):
        p = (0.0, across[i], z) if axis == 0 else (across[i], 0.0, z)
        n_cut = line_in_union(table, near, near.size, 0.0, p, axis, window[0], window[1], cut)
        if kind == 0:
            n_keep = 1
            keep[0, 0], keep[0, 1] = window[0], window[1]
        elif kind == 1:
            n_keep = line_in_union(table, near, near.size, wall, p, axis, window[0], window[1], keep)
        else:
            n_keep = n_cut
            for k in range(n_cut):
                keep[k, 0], keep[k, 1] = cut[k, 0], cut[k, 1]
            n_cut = 0
        for d in range(offsets[i], offsets[i + 1]):
            for k in range(n_keep):
                low = max(starts[d], keep[k, 0])
                high = min(ends[d], keep[k, 1])
                for c in range(n_cut):
                    if cut[c, 1] <= low or cut[c, 0] >= high:
                        continue
                    if count == out.shape[0]:
                        return -1
                    if cut[c, 0] > low:
                        out[count, 0], out[count, 1], out[count, 2] = across[i], low, cut[c, 0]
                        count += 1
                    low = max(low, cut[c, 1])
                if low < high:
                    if count == out.shape[0]:
                        return -1
                    out[count, 0], out[count, 1], out[count, 2] = across[i], low, high
                    count += 1
    return count
