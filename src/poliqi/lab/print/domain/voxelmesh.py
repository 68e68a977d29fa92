"""The faces of voxels as triangles, for solids."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["voxel_mesh"]


@cache
def _groups() -> NDArray[np.int64]:
    """(256, 8): for each way to fill the 8 voxels around a corner, the group of each, joined by faces."""
    found = np.zeros((256, 8), dtype=np.int64)
    for code in range(256):
        group = list(range(8))
        for _ in range(4):
            for one in range(8):
                for two in (one ^ 1, one ^ 2, one ^ 4):
                    if code >> one & 1 and code >> two & 1:
                        group[one] = group[two] = min(group[one], group[two])
        found[code] = group
    return found


def voxel_mesh(
    solid: NDArray[np.uint8], origin_um: NDArray[np.float64], voxel_um: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two triangles a face, anticlockwise from outside: corners (n, 3) um, triangles (m, 3).

    Voxels that touch at an edge or a corner alone get corners of their own there, as a solid must not be pinched.
    """
    padded = np.pad(solid, 1).astype(np.int64)
    shape = np.array(solid.shape) + 1
    code = np.zeros(tuple(shape), dtype=np.int64)
    for bit in range(8):
        i, j, k = bit >> 2, bit >> 1 & 1, bit & 1
        code += padded[i : i + shape[0], j : j + shape[1], k : k + shape[2]] << bit
    code = code.ravel()
    quads: list[NDArray[np.int64]] = []
    for axis in range(3):
        p, q = (axis + 1) % 3, (axis + 2) % 3
        inner = [slice(1, -1)] * 3
        inner[axis] = slice(None)
        step = np.diff(padded, axis=axis)[tuple(inner)]
        for sign in (1, -1):
            at = np.argwhere(step == sign)  # 1: inside begins here, the face looks down the axis
            owner = at + 1
            owner[:, axis] -= sign == -1
            ring = np.zeros((4, 3), dtype=np.int64)
            ring[1, p], ring[2, [p, q]], ring[3, q] = 1, 1, 1
            corners = at[:, None, :] + (ring[::-1] if sign == 1 else ring)
            place = (corners[..., 0] * shape[1] + corners[..., 1]) * shape[2] + corners[..., 2]
            turn = owner[:, None, :] - corners
            group = _groups()[code[place], 4 * turn[..., 0] + 2 * turn[..., 1] + turn[..., 2]]
            quads.append(8 * place + group)
    used, named = np.unique(np.concatenate(quads), return_inverse=True)
    named = named.reshape(-1, 4).astype(np.int64)
    index = np.stack(np.unravel_index(used // 8, tuple(shape)), axis=1).astype(np.float64)
    return origin_um + index * voxel_um, np.concatenate([named[:, [0, 1, 2]], named[:, [0, 2, 3]]])
