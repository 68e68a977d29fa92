"""The shape of a tissue as triangles and sharp edges, to be drawn around its vessels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from poliqi.lab.print.domain.domain import Domain

__all__ = ["Outline", "box_outline", "outline_of", "outline_of_mesh"]

_SHARP_DEG: Final = 30.0
_MOST_TRIANGLES: Final = 24_000
_SIMPLIFIED: Final = (5e-4, 2e-3, 5e-3, 1e-2)
"""Of the longest side: how far the drawn surface may lie from the true one, where there are too many triangles."""
_FACES: Final = ((0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5))


@dataclass(frozen=True, slots=True)
class Outline:
    """`points_um` (n, 3); `triangles` (t, 3), anticlockwise from outside; `edges` (e, 2), where the surface bends
    sharply; `pairs` (k, 4): every edge with the two triangles beside it, for silhouettes."""

    points_um: NDArray[np.float64]
    triangles: NDArray[np.int32]
    edges: NDArray[np.int32]
    pairs: NDArray[np.int32]

    def normals(self) -> NDArray[np.float64]:
        """Outwards, of length 1; (t, 3)."""
        a, b, c = (self.points_um[self.triangles[:, at]] for at in range(3))
        normal = np.cross(b - a, c - a)
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-300)


def outline_of(domain: Domain) -> Outline:
    """Of the domain's surface; of its bounding box where the package for solids is not installed."""
    try:
        import manifold3d  # noqa: F401  # pyright: ignore[reportUnusedImport, reportMissingTypeStubs]
    except ImportError:
        return box_outline(np.asarray(domain.bounds_um))
    solid: Any = domain.manifold()
    longest = float(np.ptp(np.asarray(domain.bounds_um), axis=0).max())
    for share in _SIMPLIFIED:
        if solid.num_tri() <= _MOST_TRIANGLES:
            break
        solid = solid.simplify(share * longest)
    mesh = solid.to_mesh64() if hasattr(solid, "to_mesh64") else solid.to_mesh()
    points = np.asarray(mesh.vert_properties, np.float64)[:, :3]
    return outline_of_mesh(points, np.asarray(mesh.tri_verts, np.int32))


def box_outline(bounds_um: NDArray[np.float64]) -> Outline:
    """Of a box, (2, 3)."""
    corners = np.array([[bounds_um[at >> axis & 1, axis] for axis in range(3)] for at in range(8)])
    split = [(quad[0], quad[i], quad[i + 1]) for quad in _FACES for i in (1, 2)]
    return outline_of_mesh(corners, np.array(split, np.int32))


def outline_of_mesh(points_um: NDArray[np.float64], triangles: NDArray[np.int32]) -> Outline:
    """From triangles of a closed surface."""
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    face = np.tile(np.arange(len(triangles), dtype=np.int32), 3)
    key = np.sort(sides, axis=1)
    order = np.lexsort((face, key[:, 1], key[:, 0]))
    key, face = key[order], face[order]
    same = np.flatnonzero((key[1:] == key[:-1]).all(axis=1))
    pairs = np.column_stack([key[same], face[same], face[same + 1]]).astype(np.int32)
    bare = Outline(points_um, triangles, np.zeros((0, 2), np.int32), pairs)
    normal = bare.normals()
    bend = (normal[pairs[:, 2]] * normal[pairs[:, 3]]).sum(axis=1)
    return Outline(points_um, triangles, pairs[bend < math.cos(math.radians(_SHARP_DEG)), :2], pairs)
