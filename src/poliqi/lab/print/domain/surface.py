"""A surface as kernels see it: its elements in a hierarchy, and what tells inside from outside.

`elements` (n, 9): corners of triangles, or (flat) lowest and highest corner of rectangles across an axis and three
numbers that are not used. Inside is decided by crossings of a line for triangles, and by `mask` for voxels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poliqi.lab.print.domain.hierarchy import Hierarchy, hierarchy_of

__all__ = ["Surface", "surface_of"]


@dataclass(frozen=True, slots=True)
class Surface:
    """`origin_um` and `scale`: of the lattice (steps per um, three times) or of the voxels (voxels per um)."""

    tree: Hierarchy
    elements: NDArray[np.float64]
    flat: bool
    origin_um: NDArray[np.float64]
    scale: NDArray[np.float64]
    mask: NDArray[np.uint8]

    @property
    def bounds_um(self) -> NDArray[np.float64]:
        """The tight box, (2, 3)."""
        return self.tree.nodes[1].reshape(2, 3).copy()


def surface_of(
    elements: NDArray[np.float64],
    flat: bool,
    origin_um: NDArray[np.float64],
    scale: NDArray[np.float64],
    mask: NDArray[np.uint8],
) -> Surface:
    """Put elements in the order of their hierarchy."""
    corners = elements.reshape(len(elements), 3, 3)[:, : 2 if flat else 3]
    tree = hierarchy_of(np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1))
    return Surface(tree, np.ascontiguousarray(elements[tree.order]), flat, origin_um, scale, mask)
