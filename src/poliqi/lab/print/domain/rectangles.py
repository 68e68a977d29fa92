"""Compiled: faces between voxels inside and outside, joined into rectangles, and runs of voxels along lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poliqi.base.jit import kernel

__all__ = ["face_rectangles", "runs"]


@kernel
def face_rectangles(solid: NDArray[np.uint8], found: NDArray[np.int32]) -> int:
    """Rectangles of faces across the first axis of `solid` (n, m, k) into `found` (most, 5); how many.

    Rows: plane, first and past-the-last voxel along the second and the third axis. Equal runs of neighbouring rows
    are joined. -1 where `found` has no room.
    """
    n0, n1, n2 = solid.shape
    count = 0
    starts, ends, owner = np.empty(n2 + 1, np.int64), np.empty(n2 + 1, np.int64), np.empty(n2 + 1, np.int64)
    starts2, ends2, owner2 = np.empty(n2 + 1, np.int64), np.empty(n2 + 1, np.int64), np.empty(n2 + 1, np.int64)
    for plane in range(n0 + 1):
        before = 0
        for j in range(n1):
            fresh = 0
            at = 0
            k = 0
            while k < n2:
                above = solid[plane, j, k] if plane < n0 else 0
                below = solid[plane - 1, j, k] if plane > 0 else 0
                if above == below:
                    k += 1
                    continue
                start = k
                while k < n2:
                    above = solid[plane, j, k] if plane < n0 else 0
                    below = solid[plane - 1, j, k] if plane > 0 else 0
                    if above == below:
                        break
                    k += 1
                while at < before and starts[at] < start:
                    at += 1
                if at < before and starts[at] == start and ends[at] == k:
                    owner2[fresh] = owner[at]
                    found[owner[at], 2] = j + 1
                else:
                    if count >= len(found):
                        return -1
                    found[count, 0], found[count, 1], found[count, 2] = plane, j, j + 1
                    found[count, 3], found[count, 4] = start, k
                    owner2[fresh] = count
                    count += 1
                starts2[fresh], ends2[fresh] = start, k
                fresh += 1
            starts, starts2 = starts2, starts
            ends, ends2 = ends2, ends
            owner, owner2 = owner2, owner
            before = fresh
    return count


@kernel
def runs(solid: NDArray[np.uint8], offsets: NDArray[np.int64], found: NDArray[np.int32]) -> int:
    """Runs of voxels inside along the last axis of `solid` (n, m, k) into `found` (most, 2); how many."""
    count = 0
    n0, n1, n2 = solid.shape
    for i in range(n0):
        for j in range(n1):
            inside = False
            for k in range(n2):
                now = solid[i, j, k] != 0
                if now and not inside:
                    found[count, 0] = k
                elif inside and not now:
                    found[count, 1] = k
                    count += 1
                inside = now
            if inside:
                found[count, 1] = n2
                count += 1
            offsets[i * n1 + j + 1] = count
    return count
